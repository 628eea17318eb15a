// Which connection is shown, and which of its segments: #connection-7, #connection-7:9.

function choose(id) {
  for (const section of all('.connection')) section.classList.toggle('chosen', section.dataset.id === id);
  for (const row of all('#connections tbody tr')) {
    if (row.dataset.id === id) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  }
}

function follow() {
  const asked = /^#connection-(\d+)(?::(\d+))?$/.exec(location.hash);
  const sections = all('.connection');
  const wanted = [asked && asked[1], document.body.dataset.first];
  const section = wanted.map((id) => sections.find((one) => one.dataset.id === id)).find(Boolean);
  if (!section) return;
  if (held && held[0] !== section) release();
  choose(section.dataset.id);
  if (asked && asked[2]) go(section, asked[2]);
}
