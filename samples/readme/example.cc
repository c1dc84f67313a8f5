#include <countermark/countermark.h>
#include <iostream>
std::vector<float> your_model(std::span<const countermark::TokenId> response);

int main() {
  auto ring = countermark::KeyRing::generate();  // ring.save("keys.json") keeps it
  ring.create_profile("prod");
  const countermark::Sampler sampler(ring, "prod");  // one for a model
  auto response = sampler.sequence();                // one for a response
  for (countermark::TokenId token = 0; response.size() < 200;) {
    const auto code = response.sample(your_model(response.tokens()), {.temperature = 0.8}, token);
    if (code != countermark::ErrorCode::Ok) return 1;
  }
  std::cout << countermark::to_json(countermark::Detector(ring).detect(response.tokens())) << '\n';
}
