// Which answers to rely on: calibrated probabilities, and how far a picture's look is from those of the validation part.

namespace bctoolkit {
namespace {

constexpr int most_blocks = 12, rings = 4, most_colours = 4;
constexpr double flat = 0.25, least_spread = 0.1, tiny = 1e-34;

/// Which of the rings around the centre a block lies in; places from -1 to 1.
int ring_of(double y, double x) {
  const double radius = std::hypot(y, x);
  return radius < 0.35 ? 0 : radius < 0.7 ? 1 : radius < 1 ? 2 : 3;
}

std::size_t feature_count(int channels) { return std::size_t(2 * rings * (channels <= most_colours ? channels : 1) + 2); }

double place_of(int block, int blocks) { return blocks > 1 ? -1 + 2.0 * block / (blocks - 1) : 0; }

/// Means of blocks, blocks × blocks × channels: at most 12 each way.
std::vector<double> block_means(const Picture& picture, int down, int across) {
  const std::size_t channels = std::size_t(picture.channels);
  std::vector<double> means(std::size_t(down) * std::size_t(across) * channels), counts(means.size());
  const std::uint8_t* value = picture.pixels.data();
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const std::size_t block = std::size_t(y * down / picture.height) * std::size_t(across) + std::size_t(x * across / picture.width);
      for (std::size_t c = 0; c < channels; ++c, ++value) {
        means[block * channels + c] += *value;
        counts[block * channels + c] += 1;
      }
    }
  }
  for (std::size_t i = 0; i < means.size(); ++i) means[i] /= counts[i];
  return means;
}

/// Logarithm of the root mean square step from pixel to pixel of the middle channel.
double steepness(const Picture& picture, int down, int across) {
  const int rows = picture.height - down, columns = picture.width - across;
  const auto at = [&](int y, int x) {
    const std::size_t pixel = std::size_t(y) * std::size_t(picture.width) + std::size_t(x);
    return int{picture.pixels[pixel * std::size_t(picture.channels) + std::size_t(picture.channels / 2)]};
  };
  double total = 0;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      const double step = at(y + down, x + across) - at(y, x);
      total += step * step;
    }
  }
  return std::log(total / std::max(std::int64_t{rows} * columns, std::int64_t{1}) + flat) / 2;
}

/// Mean and spread of each channel in four rings of block means; and how steep the picture is, across and down.
std::vector<double> features_of(const Picture& picture) {
  const int down = std::min(most_blocks, picture.height), across = std::min(most_blocks, picture.width);
  const std::vector<double> blocks = block_means(picture, down, across);
  const std::size_t channels = std::size_t(picture.channels), half = std::size_t(rings) * channels;
  std::vector<double> features(feature_count(picture.channels)), squares(half), counts(half);
  for (int y = 0; y < down; ++y) {
    for (int x = 0; x < across; ++x) {
      const std::size_t ring = std::size_t(ring_of(place_of(y, down), place_of(x, across))) * channels;
      const std::size_t block = (std::size_t(y) * std::size_t(across) + std::size_t(x)) * channels;
      for (std::size_t c = 0; c < channels; ++c) {
        features[ring + c] += blocks[block + c];
        squares[ring + c] += blocks[block + c] * blocks[block + c];
        counts[ring + c] += 1;
      }
    }
  }
  for (std::size_t i = 0; i < half; ++i) {
    const double count = std::max(counts[i], 1.0), mean = features[i] / count;
    features[i] = mean;
    features[half + i] = std::sqrt(std::max(squares[i] / count - mean * mean, 0.0));
  }
  features[2 * half] = steepness(picture, 0, 1);
  features[2 * half + 1] = steepness(picture, 1, 0);
  return features;
}

/// Distance of a picture's features from the third nearest of the stored ones, each in standard deviations of its own.
class Neighbours {
 public:
  Neighbours(const std::vector<float>& stored, std::size_t features) : points_(stored.begin(), stored.end()), centre_(features), scale_(features) {
    const double count = static_cast<double>(stored.size() / features);
    for (std::size_t i = 0; i < stored.size(); ++i) centre_[i % features] += stored[i] / count;
    for (std::size_t i = 0; i < stored.size(); ++i) scale_[i % features] += std::pow(stored[i] - centre_[i % features], 2) / count;
    for (double& each : scale_) each = 1 / std::max(std::sqrt(each), least_spread);
    for (std::size_t i = 0; i < points_.size(); ++i) points_[i] = (points_[i] - centre_[i % features]) * scale_[i % features];
  }

  double distance(std::vector<double> features) const {
    for (std::size_t i = 0; i < features.size(); ++i) features[i] = (features[i] - centre_[i]) * scale_[i];
    std::vector<double> squared(points_.size() / features.size());
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const double apart = points_[i] - features[i % features.size()];
      squared[i / features.size()] += apart * apart;
    }
    std::nth_element(squared.begin(), squared.begin() + (nearest - 1), squared.end());
    return std::sqrt(squared[nearest - 1]);
  }

 private:
  std::vector<double> points_, centre_, scale_;
};

/// Probabilities as a softmax at another temperature would give them.
std::vector<float> tempered(const std::vector<float>& probabilities, double temperature) {
  std::vector<double> raised;
  double total = 0;
  for (const float each : probabilities) {
    raised.push_back(std::pow(std::max<double>(each, tiny), 1 / temperature));
    total += raised.back();
  }
  std::vector<float> shares;
  for (const double each : raised) shares.push_back(static_cast<float>(each / total));
  return shares;
}

class AcceptanceRule {
 public:
  AcceptanceRule(const Acceptance& stated, const std::vector<float>& stored, int channels)
      : stated_(stated), neighbours_(stored, feature_count(channels)) {}

  std::vector<float> calibrated(const std::vector<float>& raw) const { return tempered(raw, stated_.temperature); }

  bool accepts(const Picture& prepared, const std::vector<float>& calibrated) const {
    const float confidence = *std::max_element(calibrated.begin(), calibrated.end());
    const auto distance = static_cast<float>(neighbours_.distance(features_of(prepared)));
    return confidence >= static_cast<float>(stated_.min_confidence) && distance <= static_cast<float>(stated_.max_distance);
  }

 private:
  Acceptance stated_;
  Neighbours neighbours_;
};

}  // namespace
}  // namespace bctoolkit
