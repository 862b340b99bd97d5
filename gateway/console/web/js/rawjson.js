// Parts of JSON text as they are written. Why not parse and print: that would change numbers above 2^53, and what an
// operator looks at is what was published.

const TOKEN = /"(?:[^"\\]|\\.)*"|[[{]|[\]}]|[,:]|[^\s"[\]{},:]+/g;

/** The members of a JSON object, or the items of an array, as [name or index, text] pairs. Anything else has none. */
export function parts(text) {
  const found = [];
  let depth = 0, name = null, start = -1, end = -1, object = false;
  const close = () => {
    if (start >= 0) found.push([object ? JSON.parse(name) : found.length, text.slice(start, end)]);
    name = null;
    start = -1;
  };
  for (const token of text.matchAll(TOKEN)) {
    const [word] = token;
    if (depth === 0) {
      if (word !== '{' && word !== '[') return [];
      object = word === '{';
      depth = 1;
      continue;
    }
    if (word === ']' || word === '}') {
      depth--;
      if (depth === 0) {
        close();
        return found;
      }
    } else if (word === '[' || word === '{') {
      if (depth === 1 && start < 0) start = token.index;
      depth++;
    } else if (depth === 1 && word === ',') {
      close();
      continue;
    } else if (depth === 1 && word === ':') {
      continue;
    } else if (depth === 1 && object && name === null) {
      name = word;
      continue;
    } else if (depth === 1 && start < 0) {
      start = token.index;
    }
    end = token.index + word.length;
  }
  return []; // no JSON, or cut
}

/** The text of one part within: part(text, 'result', 'publications'). Undefined where it is not there. */
export function part(text, ...path) {
  let at = text;
  for (const name of path) {
    if (at === undefined) return undefined;
    at = parts(at).find(([key]) => key === name)?.[1];
  }
  return at;
}

/** Marks an answer whose offsets this browser cannot count with: beyond 2^53 a number has lost its last digits. */
export function wholeNumbers(result) {
  if (Number.isFinite(result.offset) && !Number.isSafeInteger(result.offset)) result.inexact = true;
  return result;
}
