// Marks a response of a model that takes every token for equally likely, and finds the mark.
#include <countermark/countermark.h>

#include <iostream>
#include <span>
#include <vector>

int main() try {
  countermark::KeyRing ring = countermark::KeyRing::generate();
  ring.create_profile("demo");

  const countermark::Sampler sampler(ring, "demo");
  countermark::Sequence sequence = sampler.sequence({.seed = 1});
  const std::vector<float> logits(1000, 0.0F);
  for (int i = 0; i < 200; ++i) {
    countermark::TokenId token = 0;
    const auto code = sequence.sample(std::span(logits), {.temperature = 0.8}, token);
    if (code != countermark::ErrorCode::Ok) {
      std::cerr << countermark::error_description(code) << '\n';
      return 2;
    }
  }

  const countermark::Detection detection = countermark::Detector(ring).detect(sequence.tokens());
  std::cout << countermark::verdict_name(detection.verdict) << ", log10 p " << detection.log10_p
            << ", countermark " << countermark::version() << '\n';
  return detection.verdict == countermark::Verdict::Marked ? 0 : 1;
} catch (const countermark::Error& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
