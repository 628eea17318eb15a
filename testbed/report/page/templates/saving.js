// A ladder as a file of its own: the drawing with its colours, in light and in dark.

function savable(button) {
  button.addEventListener('click', () => {
    const drawing = $('svg.ladder.wide', button.closest('.connection')).cloneNode(true);
    drawing.removeAttribute('style');
    for (const made of all('.chosen', drawing)) made.classList.remove('chosen');
    const style = document.createElementNS(drawing.namespaceURI, 'style');
    style.textContent = $('style.drawings').textContent + '.hit{fill:none}';
    drawing.prepend(style, $('.definitions defs').cloneNode(true));
    const text = new XMLSerializer().serializeToString(drawing);
    const link = element('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
    link.download = button.dataset.save;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
