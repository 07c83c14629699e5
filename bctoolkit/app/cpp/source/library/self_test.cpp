// Golden images: does the engine compute on this machine what was sealed?

#include <map>
#include <numeric>

namespace bctoolkit {
namespace {

constexpr std::size_t most_asked = 10;

std::size_t likeliest(const std::vector<float>& probabilities) {
  return static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin());
}

/// Which images to ask: those of which the reference is least sure, of one likeliest class after the other.
std::vector<std::size_t> chosen(const std::vector<std::vector<float>>& probabilities) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto sureness = [&](std::size_t i) { return probabilities[i][likeliest(probabilities[i])]; };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return sureness(a) < sureness(b); });
  std::map<std::size_t, std::size_t> seen;
  std::vector<std::size_t> rounds(probabilities.size());
  for (const std::size_t i : order) rounds[i] = seen[likeliest(probabilities[i])]++;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rounds[a] < rounds[b]; });
  order.resize(std::min(order.size(), most_asked));
  return order;
}

std::string in_digits(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// @param disagreeing How many images may have another likeliest class.
Parity parity_of(const std::vector<std::vector<float>>& reference, const std::vector<std::vector<float>>& observed,
                 const Limits& limits, std::size_t disagreeing) {
  Parity parity;
  parity.count = reference.size();
  std::size_t values = 0, same_class = 0, beyond = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    for (std::size_t c = 0; c < reference[i].size(); ++c, ++values) {
      const double apart = std::abs(double{reference[i][c]} - double{observed[i][c]});
      parity.max_abs_diff = std::max(parity.max_abs_diff, apart);
      parity.mean_abs_diff += apart;
    }
    const std::size_t wanted = likeliest(reference[i]), found = likeliest(observed[i]);
    same_class += wanted == found;
    // Where the reference itself is as unsure as that, either class is right.
    beyond += double{reference[i][wanted] - reference[i][found]} > limits.max_abs_diff;
  }
  parity.mean_abs_diff /= static_cast<double>(values);
  parity.top1_agreement = static_cast<double>(same_class) / static_cast<double>(reference.size());
  const auto add = [&](const std::string& words) { parity.violations += (parity.violations.empty() ? "" : "; ") + words; };
  const auto add_limit = [&](const char* name, double found, double limit) {
    if (found > limit) add(std::string(name) + " |Δp| " + in_digits("%.2e", found) + " > " + in_digits("%g", limit));
  };
  add_limit("max", parity.max_abs_diff, limits.max_abs_diff);
  add_limit("mean", parity.mean_abs_diff, limits.mean_abs_diff);
  if (beyond > disagreeing) add(std::to_string(beyond) + " of " + std::to_string(reference.size()) + " labels differ");
  return parity;
}

}  // namespace
}  // namespace bctoolkit
