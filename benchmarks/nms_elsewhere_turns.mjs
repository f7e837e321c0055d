// What nms_elsewhere.py runs with node: onnxruntime-web on one thread of WebAssembly.
//
//     node nms_elsewhere_turns.mjs FOLDER
import fs from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-web";

const folder = process.argv[2];
const asked = JSON.parse(fs.readFileSync(path.join(folder, "asked.json")));
const saved = fs.readFileSync(path.join(folder, "pictures.npy"));
const pixels = saved.subarray(10 + saved.readUInt16LE(8)); // behind the header of NumPy's format 1.0
const size = 416 * 416 * 3;
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const answers = [];
for (const file of asked.files) {
  const model = fs.readFileSync(path.join(folder, `${file}.onnx`));
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  for (const [pictures, places] of Object.entries(asked.pictures)) {
    if (file.endsWith("batch 1") && places.length > 1) continue;
    const image = new Uint8Array(size * places.length);
    places.forEach((place, index) => image.set(pixels.subarray(place * size, (place + 1) * size), index * size));
    const found = await session.run({ image: new ort.Tensor("uint8", image, [places.length, 416, 416, 3]) });
    answers.push({
      tool: "onnxruntime-web",
      file,
      pictures,
      valid: Array.from(found.valid.data),
      detections: Array.from(found.detections.data),
    });
  }
}
const { version } = JSON.parse(fs.readFileSync("node_modules/onnxruntime-web/package.json"));
fs.writeFileSync(path.join(folder, "web.json"), JSON.stringify({ versions: { "onnxruntime-web": version }, answers }));
