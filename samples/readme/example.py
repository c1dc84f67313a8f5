import numpy as np

import countermark as cm

ring = cm.KeyRing.generate()  # ring.save("keys.json") keeps it
ring.create_profile("prod")
response = cm.Sampler(ring, "prod").sequence()  # one for a response
for step in range(200):
    logits = np.random.default_rng(step).normal(0, 2, 1000).astype("float32")  # your model's
    response.sample(logits, temperature=0.8)
print(cm.Detector(ring).detect(response.tokens))
