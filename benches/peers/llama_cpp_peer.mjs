// llama.cpp through node-llama-cpp as a peer: one JSON request a line on stdin, one JSON answer a line on stdout.
//
// {"ids": [[ids]], "max_tokens": n, "temperature": x} runs all of them at once, a sequence of one context each, and
// gives {"tokens": n, "seconds": s}.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, modelPath, threads] = process.argv.slice(2);
const entry = createRequire(`${modules}/package.json`).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);

const llama = await getLlama({ gpu: false, build: "never", maxThreads: Number(threads), progressLogs: false });
const model = await llama.loadModel({ modelPath });
say({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
    say(await run(JSON.parse(line)));
}

async function run({ ids, max_tokens, temperature }) {
    const longest = Math.max(...ids.map((prompt) => prompt.length));
    const context = await model.createContext({
        sequences: ids.length,
        contextSize: longest + max_tokens + 8,
        batchSize: 512,
        threads: Number(threads),
    });
    const sequences = ids.map(() => context.getSequence());
    const began = performance.now();
    const counts = await Promise.all(ids.map((prompt, index) => answer(sequences[index], prompt, max_tokens, temperature)));
    const seconds = (performance.now() - began) / 1000;
    await context.dispose();
    return { tokens: counts.reduce((sum, count) => sum + count, 0), seconds };
}

async function answer(sequence, prompt, maxTokens, temperature) {
    let count = 0;
    for await (const _ of sequence.evaluate(prompt, { temperature, yieldEogToken: true })) {
        count += 1;
        if (count === maxTokens) break;
    }
    return count;
}

function say(answer) {
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
