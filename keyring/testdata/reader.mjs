// Opens and seals messages and envelopes of Satchel with Node's cryptography, as
// docs/format.md specifies. Input: a JSON list of jobs. Output: their results, in hex.
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const join = (...parts) => Buffer.concat(parts.map((p) => (typeof p === "string" ? Buffer.from(p, "latin1") : p)));
const uint = (n, size) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b.subarray(8 - size); };
const lp = (x) => join(uint(x.length, 2), x);
const hmac = (key, ...data) => createHmac("sha256", key).update(join(...data)).digest();
const check = (ok, problem) => { if (!ok) throw new Error(problem); };
function CE(context) { // sorted by bytes; the order of JavaScript is by UTF-16
  const pairs = Object.entries(context).map((pair) => pair.map((s) => Buffer.from(s))).sort(([a], [b]) => Buffer.compare(a, b));
  return join(uint(pairs.length, 2), ...pairs.flat().map(lp));
}
function expand(key, info, size) { // HKDF-Expand-SHA256; Node's own hkdf extracts first
  let block = Buffer.alloc(0), okm = block;
  for (let i = 1; okm.length < size; i++) okm = join(okm, (block = hmac(key, block, info, uint(i, 1))));
  return okm.subarray(0, size);
}
function messageKey(key, id, group) {
  const okm = expand(key, join("skm/v1 message key\0", createHash("sha256").update(CE(group)).digest()), 64);
  return { key: okm.subarray(0, 32), head: join("SKM\x01\x00\x01", id, okm.subarray(32)) };
}
function sealMessage({ key, id, group, context, plaintext }) {
  const m = messageKey(key, id, group), nonce = randomBytes(12);
  const gcm = createCipheriv("aes-256-gcm", m.key, nonce).setAAD(join(m.head, CE(context)));
  return join(m.head, nonce, gcm.update(plaintext), gcm.final(), gcm.getAuthTag());
}
function openMessage({ key, id, group, context, message }) {
  const m = messageKey(key, id, group), tag = message.length - 16;
  check(tag >= 66 && message.subarray(0, 22).equals(m.head.subarray(0, 22)), "not a message under this key");
  check(timingSafeEqual(message.subarray(22, 54), m.head.subarray(22)), "authentication failed");
  const gcm = createDecipheriv("aes-256-gcm", m.key, message.subarray(54, 66)).setAAD(join(m.head, CE(context)));
  return join(gcm.setAuthTag(message.subarray(tag)).update(message.subarray(66, tag)), gcm.final());
}
const kekID = (kek) => expand(kek, "skm/v1 local kek id\0", 16);
const recordMAC = (dek, body, context) => hmac(expand(dek, "skr/v1 record mac\0", 32), body, CE(context));
function sealEnvelope({ kek, name, group, context, plaintext }) {
  const key = randomBytes(32), id = randomBytes(16), version = kekID(kek);
  const blob = sealMessage({ key: kek, id: version, group, context, plaintext: key });
  const wrap = [join("local"), Buffer.from(name), join(version.toString("hex")), blob].map(lp);
  const body = join("SKR\x01\x00\x01", id, uint(Math.floor(Date.now() / 1000), 8), "\x01", ...wrap);
  return join(uint(body.length + 32, 4), body, recordMAC(key, body, group), sealMessage({ key, id, group, context, plaintext }));
}
function openEnvelope({ kek, name, group, context, envelope }) {
  const end = 4 + envelope.readUInt32BE(0), body = envelope.subarray(4, end - 32), wraps = [];
  const field = (at) => body.subarray(at + 2, at + 2 + body.readUInt16BE(at));
  for (let at = 31; at < body.length; ) wraps.push([0, 0, 0, 0].map(() => { const f = field(at); at += 2 + f.length; return f; }));
  const blob = wraps.find(([service, key]) => `${service}` === "local" && `${key}` === name)?.[3];
  check(blob && wraps.length === body[30] && body.toString("latin1", 0, 6) === "SKR\x01\x00\x01", "not a record of this key");
  const key = openMessage({ key: kek, id: kekID(kek), group, context, message: blob });
  check(timingSafeEqual(recordMAC(key, body, group), envelope.subarray(end - 32, end)), "authentication failed");
  return openMessage({ key, id: body.subarray(6, 22), group, context, message: envelope.subarray(end) });
}
const jobs = { sealMessage, openMessage, sealEnvelope, openEnvelope };
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(({ do: name, bytes, ...job }) => {
  for (const b in bytes) job[b] = Buffer.from(bytes[b], "hex");
  try { return { bytes: jobs[name](job).toString("hex") }; } catch (e) { return { error: e.message }; }
})));
