"""Edits of a file's manifest and evidence, as JSON text, that no export writes: faults 33 and 38."""

import json


def put(*path, value):
    """Sets one value of a JSON text; `value` is JSON text itself, so that it may be what no writer writes."""

    def edit(text):
        tree = json.loads(text)
        place = tree
        for step in path[:-1]:
            place = place[step]
        assert path[-1] in place if isinstance(place, dict) else True
        place[path[-1]] = "@value@"
        return json.dumps(tree).replace('"@value@"', value)

    return edit


SAMPLE = ("golden", 0)
NUMBERS = (*SAMPLE, "trace", "result", "numbers")
EVIDENCE_ATTACKS = {
    "no numbers": put(*NUMBERS, value="{}"),
    "number of 5": put(*NUMBERS, "best score", value="5"),
    "number below 0": put(*NUMBERS, "best score", value="-0.5"),
    "number of 400 digits": put(*NUMBERS, "best score", value="9" * 400),
    "infinite number": put(*NUMBERS, "best score", value="1e999"),
    "a word for a number": put(*NUMBERS, "best score", value='"1"'),
    "negative tolerance": put(*SAMPLE, "alike", "outputs", value="-1"),
    "infinite tolerance": put(*SAMPLE, "alike", "outputs", value="1e999"),
    "NaN tolerance": put(*SAMPLE, "elsewhere", "results", value="NaN"),
    "tolerance of 400 digits": put(*SAMPLE, "elsewhere", "pixels", value="9" * 400),
    "negative largest": put(*SAMPLE, "trace", "outputs", 0, "largest", value="-1"),
    "infinite largest": put(*SAMPLE, "trace", "outputs", 0, "largest", value="1e999"),
    "samples of 70 kB": put(*SAMPLE, "image", value=f'"{"A" * 70_000}"'),
    "five samples": lambda text: json.dumps({**(tree := json.loads(text)), "golden": tree["golden"] * 3}),
    "key twice": lambda text: text.replace('"precision"', '"precision":"int8","precision"', 1),
    "seed of 400 digits": put("provenance", "seed", value="9" * 400),
    "seed of 5,000 digits": put("provenance", "seed", value="9" * 5000),
    "half a surrogate pair": put("cpu_family", value='"\\ud800"'),
    "half a pair in a key": put("provenance", "versions", value='{"\\udcff":"1"}'),
    "depth of 100,000": put("golden", value="[" * 100_000),
    "depth of 900": put("golden", value="[" * 900 + "]" * 900),
}

FAILING_SAMPLES = {
    "class that is not there": put(*NUMBERS, value='{"score of class 99":0.5}'),
    "class -1": put(*NUMBERS, value='{"score of class -1":0.5}'),
    "word that is not there": put(*SAMPLE, "trace", "result", "words", value='{"class -1":"None"}'),
    "another name": put(*SAMPLE, "trace", "result", "words", value='{"class 2":"None"}'),
    "best score of 0": put(*NUMBERS, value='{"best score":0.0}'),
    "smallest score": put(*NUMBERS, value='{"best score":5e-324}'),
    "huge largest": put(*SAMPLE, "trace", "outputs", 0, "largest", value="1e300"),
    "smallest number": put(*SAMPLE, "trace", "outputs", 0, "rms", value="5e-324"),
    "no outputs": put(*SAMPLE, "trace", "outputs", value="[]"),
    "no image": put(*SAMPLE, "image", value='""'),
    "not base64": put(*SAMPLE, "image", value='"?"'),
}

IMAGE = ("inputs", 0)
MANIFEST_ATTACKS = {
    "height of 400 digits": put(*IMAGE, "height", value="9" * 400),
    "width of 1e999": put("model", "width", value="1e999"),
    "width of 400 digits": put("model", "width", value="9" * 400),
    "input of 65,535 x 65,535": lambda text: text.replace('"height":8', '"height":65535').replace(
        '"width":6', '"width":65535'
    ),
    "crop of 5e-324": lambda text: text.replace('"crop_fraction":null', '"crop_fraction":5e-324').replace(
        '"stretch"', '"center_crop"'
    ),
    "two inputs": lambda text: json.dumps(
        {**(tree := json.loads(text)), "inputs": [*tree["inputs"], {**tree["inputs"][0], "name": "question"}]}
    ),
    "two outputs of one name": lambda text: json.dumps({**(tree := json.loads(text)), "outputs": tree["outputs"] * 2}),
    "key twice": lambda text: text.replace('"task"', '"task":"classification","task"', 1),
    "labels of a surrogate": put("labels", 0, value='"\\ud800"'),
    "no classes": lambda text: text.replace('"shape":[3]', '"shape":[0]').replace('["zero","one","two"]', "[]"),
    "2^62 classes": lambda text: text.replace('"shape":[3]', f'"shape":[{2**62}]').replace(
        '["zero","one","two"]', "null"
    ),
}
