// What is known of one segment: its header in words, its options, its bytes, and what was found there.

const inspector = $('#inspector');
const tables = new Map();

function tableOf(section) {
  if (!tables.has(section)) {
    const source = $('script.segments', section);
    tables.set(section, source ? JSON.parse(source.textContent) : { labels: [], segments: {} });
  }
  return tables.get(section);
}

function inspect(section, frame) {
  const table = tableOf(section);
  const told = table.segments[frame];
  if (!told) return;
  $('h2', inspector).textContent = 'frame ' + frame;
  $('.notation', inspector).textContent = told.head;
  const rows = table.labels.map((label, at) => {
    const row = element('tr');
    const head = element('th', label);
    head.scope = 'row';
    row.append(head, element('td', told.values[at]));
    return told.values[at] ? row : '';
  });
  $('tbody', inspector).replaceChildren(...rows);
  const marks = all('.finding', section).filter((found) => $('[data-frame="' + frame + '"]', found));
  $('.marks', inspector).replaceChildren(...marks.map((found) => {
    const item = element('li');
    item.append($('.severity', found).cloneNode(true), ' ', $('.code', found).cloneNode(true));
    return item;
  }));
  const bytes = $('.bytes', inspector);
  bytes.hidden = !told.bytes;
  inspector.hidden = false; // the dump is as wide as there is room
  dump(bytes, bytesOf(told.bytes), told.header, told.left);
}
