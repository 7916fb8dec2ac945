"""The version, the homepage and what installs it; when the package was loaded.

pyproject.toml reads the version.
"""

import time

VERSION = "0.1.0"
LOADED_AT = time.time()  # what is changed later is not the code that runs in this process
HOMEPAGE = ""  # with it, the User-Agent and SARIF say where to read about the program; nothing is made up
# No index has the package, so it comes from its repository; "" where nobody knows that.
INSTALL = f"pip install git+{HOMEPAGE}" if HOMEPAGE else ""
