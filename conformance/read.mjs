// A second reader of the vectors, by docs/specification.md, for Node.js alone: `node conformance/read.mjs [FOLDER]`.
import { createHash } from "node:crypto"; import { readFileSync } from "node:fs";
const folder = process.argv[2] ?? import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const read = (name) => readFileSync(`${folder}/${name}`), json = (name) => JSON.parse(read(name), (_, v) => bare(v));
const BARE = { __proto__: null, [Symbol.toPrimitive]: () => "" }; // of a mapping, in which no name is there by itself
const bare = (v = {}) => (v?.constructor === Object ? Object.setPrototypeOf(v, BARE) : v);
const schema = json("../datasets.schema.json"), { reserved, patterns, dtypes } = json("vocabulary.json");
const matches = (name, text) => new RegExp(`^(?:${patterns[name]})$`, "u").test(text);
// --- YAML. A whole number is a number, any other number a Number; `lines` has the line of every path.
const refuse = (rule, line) => { throw Object.assign(new Error(rule), { verdict: `${rule}:${line}` }); };
const IN_BLOCK = "([^\\n#:]|:(?!\\s)|(?<=\\S)#)+", IN_FLOW = "([^,[\\]{}\\n:#]|:(?=[^\\s,\\]}]))+"; // plain scalars
const parse = (raw, text = raw.replace(/^\ufeff?(---(?=\s))?/, "").replace(/\r\n?/g, "\n")) => {
  let [at, lines, anchors] = [0, new Map([["[]", 1]]), new Map()];
  const line = () => text.slice(0, at).split("\n").length, column = () => at - text.lastIndexOf("\n", at - 1) - 1;
  const note = (path) => lines.set(JSON.stringify(path), line()) && path, rest = () => text.slice(at);
  const take = (pattern, [got] = new RegExp(pattern, "y").exec(rest()) ?? []) => ((at += got?.length ?? 0), got);
  const skip = () => { if (take("([ \\n]|#[^\\n]*)*") !== undefined && text[at] === "\t") refuse("yaml", line()); };
  const scalar = (plain) => {
    if (/^(true|false|null|~|)$/.test(plain)) return { true: true, false: false }[plain] ?? null;
    if (plain.length <= 24 && matches("whole", plain)) return Number(plain.replaceAll("_", ""));
    if (plain.length <= 256 && matches("float", plain)) return new Number(plain);
    return plain.length <= 256 && matches("ambiguous", plain.toLowerCase()) ? refuse("ambiguous", line()) : plain;
  };
  const quoted = (got = take(`"([^"\\\\\\n]|\\\\.)*"|'([^'\\n]|'')*'`) ?? refuse("yaml", line())) =>
    got[0] === '"' ? JSON.parse(got) : got.slice(1, -1).replaceAll("''", "'");
  const key = (plain, map, path) => { // reads a key and its colon; the path of its value
    const isQuoted = /["']/.test(text[at]), name = isQuoted ? quoted() : take(plain)?.trim();
    if (!isQuoted && scalar(name ?? "?") !== (name ?? "?")) refuse("ambiguous", line());
    if ((name === "<<" && !isQuoted) || name in map) refuse(name in map ? "duplicate-key" : "tag", line());
    if (name === undefined || !/^ *:\s/.test(rest())) refuse("yaml", line());
    return note([...path, name], take(" *: *"));
  };
  const flow = (path, inFlow) => {
    const begun = line(), end = { "{": "}", "[": "]" }[text[at]], result = end === "]" ? [] : bare();
    if (/^([!@`%,\]}]|[-?:](\s|$))/.test(rest())) refuse(text[at] === "!" ? "tag" : "yaml", begun);
    if (text[at] === "*") return anchors.get(take("\\*[\\w-]+").slice(1)) ?? refuse("yaml", begun);
    const anchor = take("&[\\w-]+ *")?.trim().slice(1);
    if (anchor) return anchors.set(anchor, flow(path, inFlow)).get(anchor);
    if (/["']/.test(text[at])) return quoted();
    if (!end) return scalar(take(inFlow ? IN_FLOW : IN_BLOCK)?.trim() ?? "");
    for (at += 1, skip(); text[at] !== end; skip()) {
      const inside = end === "]" ? note([...path, result.length]) : key(IN_FLOW, result, path);
      result[inside.at(-1)] = flow(inside, true), skip();
      if (text[at] === ",") at += 1; else if (text[at] !== end) refuse("yaml", begun);
    }
    return (at += 1) && result;
  };
  const value = (path, indent) => {
    const own = /^(\n|#|$)/.test(rest()) ? skip() : flow(path);
    if (own !== undefined) return /^ *([\n#]|$)/.test(rest()) ? own : refuse("yaml", line());
    return column() > indent || (column() === indent && rest().startsWith("- ")) ? block(path) : null;
  };
  const block = (path) => {
    const indent = column(), isList = rest().startsWith("- "), result = isList ? [] : bare();
    for (; at < text.length && column() === indent && rest().startsWith("- ") === isList; skip()) {
      const inside = take("- +") ? note([...path, result.length]) : key(`(?![#&*!|>%@])${IN_BLOCK}`, result, path);
      result[inside.at(-1)] = value(inside, indent);
    }
    return at < text.length && column() > indent ? refuse("yaml", line()) : result;
  };
  return skip() ?? { data: at < text.length ? block([]) : null, lines };
};
// --- The schema
const kindOf = (v) => (v === null ? "null" : Array.isArray(v) ? "array" : v instanceof Number ? "float" : typeof v);
const isOf = (kind, v) => kindOf(v) === kind || kindOf(v) === { number: "float", integer: "number" }[kind];
const isMap = (v) => kindOf(v) === "object", map = (v) => (isMap(v) ? v : bare()), each = (v) => Object.entries(map(v));
const check = (s, v, path) => {
  if (s === true || s.$ref) return s === true ? [] : check(schema.$defs[s.$ref.split("/").pop()], v, path);
  if (s.type && ![s.type].flat().some((kind) => isOf(kind, v))) return [["wrong-type", path]];
  const out = [], when = (isWrong, rule, at = path) => { if (isWrong) out.push([rule, at]); };
  const ways = (s.anyOf ?? s.oneOf ?? []).map((one) => check(one, v, path));
  const likely = ways.find((way) => !way.some(([rule, at]) => rule === "wrong-type" && at === path));
  if (ways.length && ways.every((way) => way.length)) out.push(...(likely ?? [["wrong-type", path]]));
  const listed = "const" in s ? [s.const] : s.enum ?? [v];
  when(!listed.includes(v) || !RegExp(s.pattern ?? "").test(v), "wrong-value");
  when(v < s.minimum || v <= s.exclusiveMinimum || v >= s.exclusiveMaximum, "wrong-value");
  const least = s.minLength ?? s.minItems ?? s.minProperties ?? 0, size = least && Object.keys(v).length;
  when(size < least || v?.length > s.maxItems, size === 0 && least ? "empty" : "wrong-length");
  for (const key of typeof v === "object" ? Object.keys(v ?? []) : []) {
    const inside = [...path, isMap(v) ? key : Number(key)];
    const own = isMap(v) ? s.properties?.[key] ?? s.additionalProperties : s.prefixItems?.[key] ?? s.items;
    if (own) out.push(...check(own, v[key], inside)); else when(own === false, "unknown-key", inside);
  }
  for (const key of s.required ?? []) when(isMap(v) && !(key in v), "missing-key");
  for (const one of s.allOf ?? []) if (!check(one.if, v, path).length) out.push(...check(one.then, v, path));
  return out;
};
// --- The rules beyond it. What is of a wrong type is passed over: the schema has refused it.
const list = (v) => (Array.isArray(v) ? v : []), product = (v) => v.reduce((a, b) => a * b, 1);
const set = (v) => Object.fromEntries(each(map(v)).filter(([, one]) => one !== null)); // null is left out
const fold = (name) => name.normalize("NFC").toUpperCase().toLowerCase();
const isUnsafePart = (part) => matches("unsafe_part", part.toLowerCase()) || Buffer.byteLength(part) > 245;
const isUnsafe = (path) => path.normalize("NFC") !== path || Buffer.byteLength(path) > 1024 ||
  matches("unsafe_path", path) || path.split("/").some(isUnsafePart);
const rules = (data, out = []) => {
  const datasets = map(map(data).datasets), taken = Object.keys(datasets), owners = new Map();
  const under = (at) => (isWrong, rule, ...keys) => { if (isWrong) out.push([rule, [...at, ...keys]]); };
  const texts = (when, v, kind, ...keys) => list(v).forEach((one, i) => {
    when(v.indexOf(one) < i, "repeated", ...keys, i);
    when(kind && !matches(kind, one.replace(/^[^:]*/, fold)), "address", ...keys, i);
  });
  const field = (name, f, when, splits) => {
    when(!matches("field", name) || reserved.includes(name), "name");
    const shape = list(f.shape), [low, high] = list(f.range).map(Number);
    const [bytes, least, most] = dtypes[f.dtype] ?? [0], isText = f.dtype === "str", hasClasses = f.classes != null;
    const values = list(f.values), stored = f.stored_shape, held = list(stored).filter((length) => length !== null);
    when(hasClasses && (f.dtype !== "int64" || shape.length), "class-field", shape.length ? "shape" : "dtype");
    for (const key of ["shape", "range", "classes"]) when(isText && key in f, "text-field", key);
    when(!isText && f.per === "split", "text-field", "per");
    when(low > high || low < least || high > most, "range", "range");
    for (const key of ["values", "first", "stored"]) when(key in f && !hasClasses, "class-values", key);
    when(hasClasses && "values" in f && values.length !== f.classes.length, "class-values", "values");
    const same = (a, b) => String(a) === String(b) || (typeof a !== "string" && typeof b !== "string" && +a === +b);
    values.forEach((v, i) => when(values.findIndex((other) => same(v, other)) < i, "class-values", "values", i));
    when("first" in f && ("values" in f || "stored" in f), "class-values", "first");
    when("channels" in f && shape.length < 2, "axes", "channels");
    when(f.names && f.names.length !== shape.at(-1), "axes", "names");
    const axes = [...Array(f.stored === "one-hot" ? 2 : shape.length + 1).keys()];
    when(f.axes && (f.axes.length !== axes.length || axes.some((axis) => !f.axes.includes(axis))), "axes", "axes");
    when(stored && (held.length !== stored.length - 1 || product(held) !== product(shape)), "axes", "stored_shape");
    when("scale" in f && !/^float/.test(f.dtype), "scale", "scale");
    when(shape.length > 31 || product(shape.map((n) => n ?? 1)) * bytes > 2 ** 31, "too-large", "shape");
    for (const key of ["classes", "names"]) texts(when, f[key], "", key);
    for (const [split] of each(f.sha256)) when(!(split in splits), "reference", "sha256", split);
  };
  const top = { download_to: "downloaded-datasets", shipped_in: "datasets", ...map(data) };
  const [downloads, ships] = [top.download_to, top.shipped_in].map((path) => fold(path).split("/"));
  under([])(downloads.every((part, i) => (ships[i] ?? part) === part), "folders", "download_to");
  for (const [name, entry] of each(datasets).map(([key, v]) => [key, map(v)])) {
    const [fields, splits, files] = ["fields", "splits", "files"].map((key) => map(entry[key]));
    const when = under(["datasets", name]), names = Object.keys(files).map(fold);
    when(!matches("name", name), "name");
    when(entry.folder && (isUnsafe(entry.folder) || entry.folder[0] === "."), "path", "folder");
    const isTaken = (alias) => taken.includes(alias) || !taken.push(alias);
    list(entry.aliases).forEach((alias, i) => when(!matches("name", alias) || isTaken(alias), "alias", "aliases", i));
    for (const [i, [file, facts]] of each(files).entries()) {
      const path = fold(`${entry.folder ?? name}/${file}`), own = `${facts?.sha256} ${facts?.bytes}`;
      const [owner, others] = owners.get(path) ?? owners.set(path, [name, own]).get(path);
      const inWay = names.some((one) => names[i].startsWith(one) && matches("in_the_way", names[i].slice(one.length)));
      when(isUnsafe(file), "path", "files", file);
      when(inWay || names.indexOf(names[i]) < i || (owner !== name && others !== own), "clash", "files", file);
      when(entry.status === "remote" && !facts?.urls && !entry.mirrors, "no-address", "files", file);
      texts(when, facts?.urls, "url", "files", file, "urls");
    }
    texts(when, entry.mirrors, "mirror", "mirrors");
    when((entry.target ?? "?") !== "?" && !(entry.target in fields), "reference", "target");
    for (const [key, f] of each(fields)) field(key, set(f), under(["datasets", name, "fields", key]), splits);
    const of = list(entry.checks?.duplicates?.of);
    of.forEach((one, i) => when(!(one in fields), "reference", "checks", "duplicates", "of", i));
    when(entry.checks?.balance && !Object.values(fields).some((f) => f.classes), "reference", "checks", "balance");
    const places = each(splits).map(([, { samples, ...place }]) => JSON.stringify(Object.entries(set(place)).sort()));
    for (const [i, [split, { samples, ...place }]] of each(splits).entries()) {
      const known = schema.$defs.SplitEntry.properties, [from, to] = list(place.rows);
      when(!matches("field", split) || reserved.includes(split), "name", "splits", split);
      for (const key of Object.keys(place)) when(!(key in fields || key in known), "reference", "splits", split, key);
      when(place.file && !(place.file in files), "reference", "splits", split, "file");
      when(places.indexOf(places[i]) < i, "same-place", "splits", split);
      when(from >= to || to - from - samples, "rows", "splits", split, "rows");
    }
  }
  return out;
};
const verdict = (text) => { try {
  const { data, lines } = parse(text), line = (path) => lines.get(JSON.stringify(path)) ?? line(path.slice(0, -1));
  const refused = [...check(schema, data, []), ...rules(data)].map(([rule, path]) => `${rule}:${line(path)}`);
  return [...new Set(refused)].join(" ") || "good";
} catch (error) { return error.verdict ?? refuse(error.stack, 0); } };
// --- Digests
const npy = (bytes) => {
  const begin = 10 + bytes.readUInt16LE(8), header = bytes.toString("latin1", 10, begin);
  const [, order, kind, width] = /'descr': '([<>|])([biuf])(\d)'/.exec(header), item = Number(width);
  const shape = /\(([^)]*)\)/.exec(header)[1].split(",").filter((n) => n.trim()).map(Number);
  const inner = (axis) => product(shape.slice(axis + 1)), isFortran = header.includes("True");
  const steps = shape.map((_, axis) => item * (isFortran ? product(shape.slice(0, axis)) : inner(axis)));
  const place = (_, i) => shape.reduce((at, n, axis) => at + (Math.floor(i / inner(axis)) % n) * steps[axis], begin);
  const values = Array.from({ length: product(shape) }, place).map((at) => Buffer.from(bytes.subarray(at, at + item)));
  if (order === ">") values.forEach((one) => one.reverse());
  return { dtype: kind === "b" ? "bool" : { i: "int", u: "uint", f: "float" }[kind] + 8 * item, shape, values };
};
const count = (n) => { const out = Buffer.alloc(8); out.writeBigInt64LE(BigInt(n)); return out; };
const digest = ({ file, shape: stated, samples }) => {
  const parts = (text) => [count(Buffer.byteLength(text)), Buffer.from(text)];
  const strings = (texts) => ({ dtype: "str", shape: [texts.length], values: texts.flatMap(parts) });
  let { dtype, shape, values } = file.endsWith(".json") ? strings(json(file)) : npy(read(file));
  if (samples) {
    const flat = values, differing = (own) => own.filter((_, axis) => stated[axis + 1] === null).map(count);
    values = samples.flatMap((own) => [...differing(own), ...flat.splice(0, product(own))]);
    shape = [samples.length, ...stated.slice(1)];
  }
  const begin = `${dtype} ${shape.map(String).join("x")}\n`;
  return `${begin.trim()} ${createHash("sha256").update(begin).update(Buffer.concat(values)).digest("hex")}`;
};
const manifests = json("manifests.json"), arrays = json("arrays.json");
const wrong = [
  ...manifests.map((v) => [v.file, v.rule ? `${v.rule}:${v.line}` : "good", verdict(`${read(v.file)}`)]),
  ...arrays.map((v) => [v.file, `${v.dtype} ${v.shape.map(String).join("x")} ${v.sha256}`, digest(v)]),
].filter(([, wish, got]) => wish !== got);
for (const [file, wish, got] of wrong) console.log(`${file}: expected ${wish}, read as ${got}`);
console.log(`${manifests.length} manifests and ${arrays.length} arrays, ${wrong.length} not as expected`);
process.exitCode = wrong.length ? 1 : 0;
