// Suggests movies while a title is typed. Without it, the form still searches.
"use strict";
const box = document.getElementById("find-movie");
const list = document.getElementById("suggestions");
const at = box.form.elements.at;
let waiting, asked = 0;

function show(movies) {
  list.replaceChildren(...movies.map(({ id, title, details }) => {
    const query = new URLSearchParams({ id, ...(at ? { at: at.value } : {}) });
    const link = document.createElement("a");
    link.href = `/movie?${query}`;
    const name = document.createElement("bdi");
    name.textContent = title;
    const more = document.createElement("span");
    more.className = "soft";
    more.textContent = details;
    link.append(name, " ", more);
    const row = document.createElement("li");
    row.append(link);
    return row;
  }));
  list.hidden = movies.length === 0;
}

async function suggest() {
  const number = ++asked;
  const query = new URLSearchParams({ q: box.value, ...(at ? { at: at.value } : {}) });
  try {
    const answer = box.value.trim() ? await fetch(`/suggest.json?${query}`) : null;
    const movies = answer && answer.ok ? await answer.json() : [];
    if (number === asked) show(movies);
  } catch {
    if (number === asked) show([]);
  }
}

box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(suggest, 120);
});
box.form.addEventListener("keydown", (event) => {
  const links = [...list.querySelectorAll("a")];
  const place = links.indexOf(document.activeElement);
  if (event.key === "Escape") {
    list.hidden = true;
    box.focus();
  } else if (event.key === "ArrowDown" && links.length && !list.hidden) {
    links[(place + 1) % links.length].focus();
  } else if (event.key === "ArrowUp" && place >= 0) {
    (links[place - 1] ?? box).focus();
  } else {
    return;
  }
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (!box.form.contains(event.target)) list.hidden = true;
});
