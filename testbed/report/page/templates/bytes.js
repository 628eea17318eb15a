// The bytes of a segment as a dump of sixteen in a line; header, options and payload in their colours.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function dump(into, bytes, header, left) {
  into.replaceChildren();
  for (let at = 0; at < bytes.length; at += 16) {
    into.append(element('span', at.toString(16).padStart(4, '0') + '  ', 'of-note'));
    for (const print of [hexadecimal, readable]) {
      for (const [from, to, kind] of [[0, 20, 'of-header'], [20, header, 'of-options'], [header, bytes.length, 'of-payload']]) {
        const part = bytes.subarray(Math.max(at, from), Math.min(at + 16, to));
        if (Math.max(at, from) < Math.min(at + 16, to)) into.append(element('span', print(part), kind));
      }
      if (print === hexadecimal) into.append('   '.repeat(Math.max(0, at + 16 - bytes.length)) + ' ');
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
