/** The rows that every contender shows: the words of js-framework-benchmark, the same numbers each time. */
export interface Row {
  readonly id: number;
  label: string;
}

const ADJECTIVES = "pretty large big small tall short long handsome plain quaint clean elegant easy angry crazy helpful mushy odd unsightly adorable important inexpensive cheap expensive fancy".split(" ");
const COLOURS = "red yellow blue green pink brown purple brown white black orange".split(" ");
const NOUNS = "table chair house bbq desk car pony cookie sandwich burger pizza mouse keyboard".split(" ");

let next = 1;
let seed = 2463534242;
const random = (most: number): number => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % most;
};

export const make = (count: number): Row[] =>
  Array.from({ length: count }, () => ({
    id: next++,
    label: `${ADJECTIVES[random(ADJECTIVES.length)]} ${COLOURS[random(COLOURS.length)]} ${NOUNS[random(NOUNS.length)]}`,
  }));
