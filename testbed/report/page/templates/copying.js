// Commands are copied with a click where the browser lets a page do that; else they are selected.

function copyable(button) {
  const code = button.previousElementSibling;
  button.hidden = false;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'copied';
      setTimeout(() => { button.textContent = 'copy'; }, 1500);
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
}
