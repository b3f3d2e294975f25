// Client of the conformance kit with the example reader: one request a line, one answer a line.

import { createInterface } from "node:readline";
import { DataLost, NothingPublished, Reader, UnknownContract, UnknownGenre, connect } from "./reader.mjs";

const store = await connect(process.env.REDIS_URL);
const readers = new Map();

async function answer({ namespace, verb, id, by, genre, title, ratings, ...choice }) {
  if (!readers.has(namespace)) readers.set(namespace, new Reader(store, namespace));
  const reader = readers.get(namespace);
  try {
    if (verb === "popular") return await reader.popular(by, genre ?? null, choice);
    if (verb === "for_ratings") return await reader.forRatings(ratings, choice);
    if (verb === "find_title") return { ids: await reader.findTitle(title) };
    if (verb === "assign") return { namespace: await reader.assign(id) };
    if (verb === "seen") return { ids: await reader.seen(id) };
    if (verb === "movie") return { movie: await reader.movie(id) };
    return await reader[verb](id, choice);
  } catch (error) {
    if (error instanceof NothingPublished) return { error: "nothing_published" };
    if (error instanceof DataLost) return { error: "data_lost" };
    if (error instanceof UnknownGenre) return { error: "usage" };
    if (error instanceof UnknownContract) return { error: "unknown_contract" };
    throw error;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
await store.close();
