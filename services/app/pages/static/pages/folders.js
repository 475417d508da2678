/* What lies in the folders that are dropped. */

const asPromise = (call) => new Promise((resolve, reject) => call(resolve, reject));

/** The files of the dropped entries, in order, at most so many, each with its `folder`. `dropped`
    are the same in the browser's own list, which knows no more of a folder than its name. What it
    does not let us read is left to it: the upload says so. */
export async function filesIn(entries, dropped, most) {
  const found = [];
  for (const [n, entry] of entries.entries()) {
    if (entry?.isDirectory) await walk(entry, found, most);
    else found.push(dropped[n]);
  }
  return found.slice(0, most);
}

async function walk(folder, found, most) {
  const reader = folder.createReader();
  // It hands out some at a time, and none at the end.
  for (let some = await read(reader); some.length && found.length < most; some = await read(reader)) {
    for (const entry of some) {
      if (found.length >= most) return;
      if (entry.isDirectory) await walk(entry, found, most);
      else {
        const file = await asPromise((ok, no) => entry.file(ok, no)).catch(() => null);
        if (file) found.push(Object.assign(file, { folder: folder.fullPath.slice(1) }));
      }
    }
  }
}

const read = (reader) => asPromise((ok, no) => reader.readEntries(ok, no)).catch(() => []);
