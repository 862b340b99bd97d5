// Copying, also where a page has no navigator.clipboard: over plain http to any host but localhost.

const SHOWN_MS = 1500;

/**
 * Copies the text and says so, on the button and in the live region said. Where the browser does not let us, the text
 * of the element source is marked, so that the keyboard copies it.
 */
export async function copyWith(button, text, source, said) {
  const done = await copied(text);
  if (!done) getSelection().selectAllChildren(source);
  const [label] = button.children;
  label.textContent = done ? 'Copied' : 'Press Ctrl+C';
  said.textContent = done ? 'Copied to the clipboard' : 'This browser does not let the page copy. The text is selected: press Ctrl+C, or Command+C';
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    label.textContent = 'Copy';
    said.textContent = ''; // the next one is read out again
  }, SHOWN_MS);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedTheOldWay(text); // there is none here, or we may not use it
  }
}

function copiedTheOldWay(text) {
  const focused = document.activeElement;
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'unseen' });
  document.body.append(area);
  area.focus({ preventScroll: true });
  area.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    area.remove();
    focused?.focus({ preventScroll: true });
  }
}
