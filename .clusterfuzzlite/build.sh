#!/bin/bash -eu
# One fuzzer for each target, with its seeds. fuzz/fuzz.py takes the target's name first; a fuzzer here is a file.
cd "$SRC/tinytorch-datasets"
python3 -m pip install '.[fuzz,tables,images,hdf5,audio]' scipy
python3 fuzz/seeds.py seeds
for target in $(python3 fuzz/run --list); do
    sed "s/sys.argv.pop(1)/'$target'/" fuzz/fuzz.py > "fuzz/fuzz_$(echo "$target" | tr - _).py"
    compile_python_fuzzer "fuzz/fuzz_$(echo "$target" | tr - _).py"
    (cd "seeds/$target" && zip -q -r "$OUT/fuzz_$(echo "$target" | tr - _)_seed_corpus.zip" .)
done
