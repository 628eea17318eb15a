// The bytes of a segment as a dump, sixteen in a line or eight; header, options and payload in their colours.

const WIDE = 458; // pixels that a line of sixteen takes

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function dump(into, bytes, header, left) {
  const line = into.clientWidth < WIDE ? 8 : 16;
  const parts = [[0, 20, 'of-header'], [20, header, 'of-options'], [header, bytes.length, 'of-payload']];
  into.replaceChildren();
  for (let at = 0; at < bytes.length; at += line) {
    into.append(element('span', at.toString(16).padStart(3, '0') + '  ', 'of-note'));
    for (const print of [hexadecimal, readable]) {
      for (const [from, to, kind] of parts) {
        const begin = Math.max(at, from);
        const end = Math.min(at + line, to);
        if (begin < end) into.append(element('span', print(bytes.subarray(begin, end)), kind));
      }
      if (print === hexadecimal) into.append('   '.repeat(Math.max(0, at + line - bytes.length)) + ' ');
    }
    into.append('\n');
  }
  if (left > 0) into.append(element('span', left + ' more captured', 'of-note'));
}

function hexadecimal(part) {
  return Array.from(part, (byte) => byte.toString(16).padStart(2, '0') + ' ').join('');
}

function readable(part) {
  return Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
}
