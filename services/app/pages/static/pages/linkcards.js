/* The card of a link: its title, its address and its files, as the API says. */

import { clone, fill } from "./markup.js";
import { put, size, words } from "./words.js";

const pathOf = ({ folder, filename }) => (folder ? `${folder}/${filename}` : filename);
const addressOf = (upload) =>
  `${upload.link}/${pathOf(upload).split("/").map(encodeURIComponent).join("/")}`;

function protectionOf({ has_password, downloads, max_downloads }) {
  const parts = has_password ? [words.password] : [];
  if (max_downloads) parts.push(put(words.downloads, { count: downloads, most: max_downloads }));
  return parts.join(" · ");
}

export const makeLinkCard = () => clone("link");

/** Fill the card in. What it has is kept, so that nothing that somebody is at goes. */
export function updateLinkCard(card, { uploads, ...link }) {
  const count = uploads.length;
  const several = count > 1;
  const files = put(words.files, { count });
  const title = several ? link.name || files : pathOf(uploads[0]);
  const bytes = size(link.size);
  card.dataset.linkId = link.id;
  fill(card, {
    ...link,
    several,
    filename: title,
    described: title === link.name ? "" : link.name,
    contents: several ? `${files}, ${bytes}` : bytes,
    protection: protectionOf(link),
    qr: `${link.link}.svg`,
    address: several ? "" : addressOf(uploads[0]),
    add: `?link=${link.id}`,
    change: `/links/${link.id}/`,
  });
  // After the card, whose filling blanks what its rows say.
  const list = card.querySelector(".contents");
  const there = new Map([...list.children].map((row) => [row.dataset.upload, row]));
  for (const upload of uploads) {
    const row = there.get(upload.id) ?? clone("file-row");
    row.dataset.upload = upload.id;
    const shown = { filename: pathOf(upload), size: size(upload.size), address: addressOf(upload) };
    fill(row, shown);
    there.delete(upload.id);
    if (!list.contains(row)) list.append(row);
  }
  for (const row of there.values()) row.remove();
}
