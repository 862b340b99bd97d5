// Text from outside, made safe to look at: what turns the reading direction round or is not to be seen at all stands
// there by its number. The style sheet keeps the rest of the direction inside its cell (unicode-bidi: isolate).

// Control characters but tab and the line ends; marks, embeddings, overrides and isolates of the bidirectional algorithm;
// blanks without a width. Not the two joiners, which scripts and emoji need.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

const number = (character) => character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');

/** The text for people: every hidden character as ‹U+202E›. */
export function visible(text) {
  return String(text).replace(HIDDEN, (character) => `‹U+${number(character)}›`);
}

/** The same JSON with hidden characters as \u escapes: they can stand in its strings only. */
export function visibleJSON(text) {
  return text.replace(HIDDEN, (character) => `\\u${number(character).toLowerCase()}`);
}
