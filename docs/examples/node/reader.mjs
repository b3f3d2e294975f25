// A reader for Node: the contract of docs/keys.md in JavaScript. It needs only the package `redis`.
//
//   const reader = new Reader(await connect(process.env.REDIS_URL));
//   const { generation, items } = await reader.user("42", { n: 10, genres: ["Comedy"] });
//
// Every list method accepts n, exclude, genres, year_from, year_to, available (true, or the name of a
// set), and available_missing ("all" or "none": the result if that set does not exist).

import { createHash } from "node:crypto";
import { createClient } from "redis";

const WINDOW = 500; // candidates filtered in one round trip
const MAX_CARDS = 50_000;
const SCALE = [0.5, 5]; // default if the manifest has no rating_scale
const MAX_MOVES = 50;
const MAX_RECENT = 10; // recent movies whose lists are read
const RECENT_WEIGHT = 0.5; // of each of these lists; that of the user's list is 1
const KINDS = ["most_rated", "highest_rated", "trending", "new"]; // of popular lists

export class NothingPublished extends Error {}
export class UnknownContract extends Error {}
export class UnknownGenre extends Error {}
export class DataLost extends Error {}

/** Connect to redis://, rediss:// or unix:// addresses. */
export function connect(url) {
  const path = url.startsWith("unix://") ? url.slice("unix://".length) : null;
  const client = createClient(path === null ? { url } : { socket: { path } });
  client.on("error", () => {}); // failed requests reject their own promise
  return client.connect();
}

export class Reader {
  #store;
  #namespace;
  #view = null; // the last generation read, and its cached cards

  constructor(store, namespace = "reco") {
    this.#store = store;
    this.#namespace = namespace;
  }

  /**
   * The movies recommended to a user; with `why` each has its explanation in `because`. `recent` is what
   * the user did since the run, newest first: [[id, stars or null], ...].
   */
  user(id, { why = false, recent = [], ...choice } = {}) {
    const because = why ? `because:${id}` : null;
    return this.#list(`user:${id}`, "personal", choice, { seen: `seen:${id}`, because, recent });
  }

  /** A user's movies by predicted rating. */
  ranked(id, choice = {}) {
    return this.#list(`ranked:${id}`, "ranked", choice, { seen: `seen:${id}` });
  }

  /** The movies most similar to a movie, never itself. */
  similar(id, choice = {}) {
    return this.#list(`similar:${id}`, "similar", choice, { itself: id });
  }

  /** Cold start: movies for a user of whom only a few ratings are known; stars by movie. */
  forRatings(ratings, choice = {}) {
    return this.#list(null, "for_ratings", choice, { ratings });
  }

  /** The most_rated, highest_rated, trending or new movies, of all or of one genre. */
  popular(by = "most_rated", genre = null, choice = {}) {
    return this.#list(`popular:${by}`, by, choice, { fill: false, genre });
  }

  /** The namespace of a user in the experiment; without an experiment, the reader's own. */
  async assign(id) {
    const value = await this.#store.get(`{${this.#namespace}}:experiment`);
    if (value === null) return this.#namespace;
    const { name, arms } = JSON.parse(value);
    const drawn = createHash("sha256").update(`${name}:${id}`).digest("hex").slice(0, 8);
    const total = arms.reduce((sum, [, share]) => sum + share, 0);
    let place = (Number.parseInt(drawn, 16) / 2 ** 32) * total;
    const arm = arms.find(([, share]) => (place -= share) < 0) ?? arms.at(-1);
    return arm[0];
  }

  /** A movie's card; null if it is unknown. */
  async movie(id) {
    const { values } = await this.#pin([`movie:${id}`]);
    return values[0] === null ? null : { movie_id: id, ...readCard(values[0]) };
  }

  /** The ids of the movies that a user rated, newest first. */
  async seen(id) {
    const { values } = await this.#pin([`seen:${id}`]);
    return readIds(values[0]);
  }

  /** The ids of the movies with a title, with or without its year. */
  async findTitle(title) {
    const { values } = await this.#pin([`title:${fold(title)}`]);
    return readIds(values[0]);
  }

  // First round trip: the pointer and the values; repeated if the pointer names another generation.
  async #pin(suffixes, sets = []) {
    const pointerKey = `{${this.#namespace}}:current`;
    for (let move = 0; move < MAX_MOVES; move += 1) {
      if (this.#view === null) {
        const generation = await this.#store.get(pointerKey);
        if (generation === null) throw new NothingPublished(this.#namespace);
        const manifest = await this.#store.get(`{${this.#namespace}}:manifest:${generation}`);
        if (manifest === null) throw new DataLost(`no manifest of ${generation}`);
        const { schema, rating_scale = null, counts = {}, genres = null, stand_in } =
          JSON.parse(manifest);
        if (schema !== 1) throw new UnknownContract(`schema ${schema} in ${generation}`);
        const scale = rating_scale ?? SCALE;
        // Recent movies with fewer stars add nothing; without a scale, dislikes.
        const least = rating_scale === null ? 0 : (rating_scale[0] + rating_scale[1]) / 2;
        const first = KINDS.includes(stand_in) ? stand_in : "most_rated";
        const fallbacks = [...new Set([first, "most_rated"])];
        this.#view = { generation, cards: new Map(), scale, least, counts, genres, fallbacks };
      }
      const view = this.#view;
      const names = typeof suffixes === "function" ? suffixes(view) : suffixes;
      const keys = names.map((suffix) => this.#key(view, suffix));
      // The client sends commands of one turn of the event loop in one pipeline.
      const [[pointer, ...values], ...sizes] = await Promise.all([
        this.#store.mGet([pointerKey, ...keys]),
        ...sets.map((set) => this.#store.sCard(set)),
      ]);
      if (pointer === view.generation) return { view, values, sizes };
      this.#view = null;
    }
    throw new Error("the pointer moved at every attempt to read");
  }

  async #list(suffix, source, choice, options) {
    const { seen = null, itself = null, fill = true, because = null } = options;
    const { ratings = null, genre = null, recent = [] } = options;
    const newest = recent.slice(0, MAX_RECENT);
    const { n = 10, exclude = [], available = false } = choice;
    const sets = [`{${this.#namespace}}:hidden`];
    if (available !== false) {
      sets.push(`{${this.#namespace}}:available${available === true ? "" : `:${available}`}`);
    }
    const rated = ratings === null ? [] : Object.keys(ratings);
    let genres = [];
    const suffixes = (view) => [
      ...(ratings === null ? [ofGenre(view, suffix, genre)] : rated.map((id) => `next:${id}`)),
      ...newest.map(([id]) => `next:${id}`),
      ...view.fallbacks.flatMap((by) => [
        ...(genres = spelt(view, choice.genres ?? [])).map((name) => `popular:${by}:genre:${name}`),
        `popular:${by}`,
      ]),
      ...(seen === null ? [] : [seen]),
      ...(because === null ? [] : [because]),
    ];
    const { view, values, sizes } = await this.#pin(suffixes, sets);
    const reasons = because === null ? null : readReasons(values[0], values.pop());
    const seenIds = seen === null ? [] : readIds(values.pop());
    const lists = values.splice(0, ratings === null ? 1 : rated.length);
    const nextLists = values.splice(0, newest.length);
    const popular = values;
    let own = ratings === null ? readOwn(lists[0]) : addedUp(ratings, lists, view.scale);
    own = own && own.map(([movie, score]) => [movie, score, source]);
    if (newest.some((movie, place) => isAdded(movie, view) && nextLists[place] !== null)) {
      own = reordered(own ?? instead(view, popular), newest, nextLists, view, seenIds, reasons);
    }
    const recentIds = recent.map(([movie]) => movie);
    const left = [...exclude, ...rated, ...recentIds, ...(itself === null ? [] : [itself])];
    const candidates = chain(own, view.fallbacks, popular, seenIds, new Set(left), fill);
    // In Redis an empty set does not exist.
    const missing = available !== false && sizes[1] === 0;
    if (missing && choice.available_missing === "none") {
      return { generation: view.generation, items: [] };
    }
    const items = await this.#pick(view, candidates, { ...choice, genres }, n, sets, sizes, reasons);
    if (items.length === 0 && popular.at(-1) === null && view.counts.popular > 0) {
      throw new DataLost(`popular:most_rated of ${view.generation}`);
    }
    return { generation: view.generation, items };
  }

  // Second round trip: the cards that are not cached, and membership in the sets.
  async #pick(view, candidates, choice, n, sets, sizes, reasons) {
    if (view.cards.size > MAX_CARDS) view.cards.clear();
    const items = [];
    for (let start = 0; start < candidates.length && items.length < n; start += WINDOW) {
      const window = candidates.slice(start, start + WINDOW);
      const shownIds = window.map(({ movie_id }) => movie_id);
      const because = reasons ? shownIds.filter((id) => reasons.has(id)) : [];
      const ids = [...new Set([...shownIds, ...because.map((id) => reasons.get(id))])];
      const unknown = ids.filter((id) => !view.cards.has(id));
      const asked = sets.map((set, place) => (sizes[place] > 0 ? set : null));
      const [cards, hidden, available] = await Promise.all([
        unknown.length > 0
          ? this.#store.mGet(unknown.map((id) => this.#key(view, `movie:${id}`)))
          : [],
        asked[0] ? this.#store.smIsMember(asked[0], ids) : null,
        asked[1] ? this.#store.smIsMember(asked[1], ids) : null,
      ]);
      unknown.forEach((id, place) => {
        // A movie without a card has its id as title.
        const card = cards[place] === null ? JSON.stringify({ t: id }) : cards[place];
        view.cards.set(id, readCard(card));
      });
      const isHidden = (id) => hidden !== null && Boolean(hidden[ids.indexOf(id)]);
      window.forEach((candidate, place) => {
        const id = candidate.movie_id;
        const card = view.cards.get(id);
        const shown = !isHidden(id) && (!available || available[place]);
        if (items.length >= n || !shown || !admits(choice, card)) return;
        const item = { ...candidate, ...card };
        if (reasons) {
          // Hidden movies are not named in explanations either.
          const reason = reasons.get(id) ?? null;
          const named = reason !== null && !isHidden(reason);
          item.because = named ? { movie_id: reason, title: view.cards.get(reason).title } : null;
        }
        items.push(item);
      });
    }
    return items;
  }

  #key(view, suffix) {
    return `${this.#namespace}:${view.generation}:${suffix}`;
  }
}

// Genres as published; the manifest of an older version does not list them.
function spelt({ genres: published }, genres) {
  if (published === null) return genres;
  return genres.flatMap((genre) => {
    const found = published.filter((name) => lettersOf(name) === lettersOf(genre));
    if (found.length === 0) throw new UnknownGenre(`${genre}: expected one of ${published}`);
    return found;
  });
}

function ofGenre(view, suffix, genre) {
  if (genre === null) return suffix;
  const names = spelt(view, [genre]);
  return `${suffix}:genre:${names.includes(genre) ? genre : names[0]}`;
}

function lettersOf(genre) {
  return fold(genre).replace(/[^\p{L}\p{N}]/gu, "");
}

// The candidates of all lists in order, each at its first position.
function chain(own, fallbacks, popular, seen, taken, fill) {
  const found = [];
  const add = (columns, from) => {
    for (const [movie_id, score, source = from] of columns) {
      if (taken.has(movie_id)) continue;
      taken.add(movie_id);
      found.push({ movie_id, score, source });
    }
  };
  if (own !== null) add(own);
  if (own !== null && !fill) return found;
  seen.forEach((id) => taken.add(id));
  const width = popular.length / fallbacks.length;
  fallbacks.forEach((by, place) => {
    const lists = popular.slice(place * width, (place + 1) * width);
    const ofGenres = lists.slice(0, -1).flatMap(readList);
    add(ofGenres.sort((one, other) => other[1] - one[1]), `${by}_in_genre`);
    add(readList(lists.at(-1)), by);
  });
  return found;
}

// Each rated movie contributes the scores of its list in excess of the last one.
function addedUp(ratings, lists, [low, high]) {
  const sums = new Map();
  Object.entries(ratings).forEach(([, stars], place) => {
    const weight = (stars - low) / (high - low);
    const columns = weight > 0 ? readList(lists[place]) : [];
    for (const [id, score] of columns) {
      const excess = weight * (score - columns.at(-1)[1]);
      if (!(id in ratings)) sums.set(id, (sums.get(id) ?? 0) + excess);
    }
  });
  const most = Math.max(...sums.values()) || 1;
  return [...sums]
    .map(([id, score]) => [id, score / most])
    .sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

function isAdded([, stars], { least }) {
  return stars === null || stars >= least;
}

// The popular list in place of a user's list.
function instead({ fallbacks }, popular) {
  const width = popular.length / fallbacks.length;
  const place = fallbacks.findIndex((_, at) => popular[(at + 1) * width - 1] !== null);
  const list = place < 0 ? [] : readList(popular[(place + 1) * width - 1]);
  return list.map(([id, score]) => [id, score, fallbacks[place]]);
}

// The votes of a list for its movies: 1 for the first, 0 for the last, by score between them. Where a
// rule has placed a movie before better ones, the score before it counts.
function votes(list) {
  let lowest = Infinity;
  const falling = list.map(([, score]) => (lowest = Math.min(lowest, score)));
  const width = falling[0] - lowest;
  return new Map(list.map(([id], at) => [id, width > 0 ? (falling[at] - lowest) / width : 0]));
}

// The user's list with the lists of recent movies added; sets the reasons of what comes from these.
function reordered(own, newest, lists, view, seen, reasons) {
  const base = votes(own);
  const sources = new Map(own.map(([id, , source]) => [id, source]));
  const added = new Map(); // movie -> sum, largest vote and its recent movie
  newest.forEach((movie, place) => {
    if (!isAdded(movie, view)) return;
    for (const [id, vote] of votes(readList(lists[place]))) {
      if (!base.has(id) && seen.includes(id)) continue;
      const [sum, most, because] = added.get(id) ?? [0, -1, null];
      const strongest = vote > most ? [vote, movie[0]] : [most, because];
      added.set(id, [sum + RECENT_WEIGHT * vote, ...strongest]);
    }
  });
  return [...new Set([...base.keys(), ...added.keys()])]
    .map((id) => {
      const [sum, , because] = added.get(id) ?? [0, 0, null];
      const isNext = !base.has(id) || sum > base.get(id);
      if (isNext) reasons?.set(id, because);
      return [id, (base.get(id) ?? 0) + sum, isNext ? "next" : sources.get(id)];
    })
    .sort((one, other) => other[1] - one[1]); // stable
}

function hasYears({ year_from = null, year_to = null }) {
  return year_from !== null || year_to !== null;
}

function admits(choice, { year, genres }) {
  const { genres: wanted = [], year_from = null, year_to = null } = choice;
  if (wanted.length > 0 && !wanted.some((genre) => genres.includes(genre))) return false;
  if (!hasYears(choice)) return true;
  return year !== null && year >= (year_from ?? -Infinity) && year <= (year_to ?? Infinity);
}

function readOwn(value) {
  return value === null ? null : readList(value);
}

function readList(value) {
  if (value === null) return [];
  const { i, s } = JSON.parse(value);
  return i.map((id, place) => [String(id), s[place]]);
}

function readIds(value) {
  return value === null ? [] : JSON.parse(value).i.map(String);
}

// The explanation of each movie in a list, if it has one.
function readReasons(list, because) {
  const reasons = new Map();
  if (list === null || because === null) return reasons;
  const { i } = JSON.parse(because);
  readList(list).forEach(([id], place) => {
    if (i[place] !== null && i[place] !== undefined) reasons.set(id, String(i[place]));
  });
  return reasons;
}

function readCard(value) {
  const { t, y = null, g = [], n = 0, m = null } = JSON.parse(value);
  return { title: t, year: y, genres: g, rating_count: n, mean_rating: m };
}

/**
 * The folded title. JavaScript has no case folding, hence upper case, lower case and the sigma; and it
 * has no combining classes, so titles in Indic scripts may lose more marks than they should.
 */
export function fold(title) {
  const bare = title.normalize("NFKD").replace(/\p{M}/gu, "");
  const folded = bare.toUpperCase().toLowerCase().replaceAll("ς", "σ");
  return folded.trim().split(/\s+/u).join(" ").normalize("NFC");
}
