// What a picture holds: its own numbers, of 8 or 16 bits, how opaque each pixel is, and which way up it is to be shown.

namespace bctoolkit {
namespace {

constexpr std::uint64_t most_image_bytes = 1u << 29, most_pixels = 1u << 26, most_passes = 1u << 30;

/// What a file shows before it is turned.
struct Decoded {
  Picture picture;  ///< Opaque, in 8 bits, with 1 or 3 channels.
  Bytes exif;
};

/// A picture as its file stores it.
struct Samples {
  int height = 0, width = 0, channels = 0;  ///< 1 or 3, and one more where it has_alpha.
  bool has_alpha = false, is_wide = false;  ///< Wide: 16 bits a channel.
  std::vector<std::uint16_t> values;
};

std::size_t area(const Samples& samples) { return std::size_t(samples.height) * std::size_t(samples.width); }

void require_size(std::uint64_t width, std::uint64_t height, std::uint64_t passes, const std::string& name) {
  if (width == 0 || height == 0 || width > most_pixels || height > most_pixels || width * height > most_pixels) {
    throw Error(name + ": " + std::to_string(width) + "×" + std::to_string(height) + " pixels; wanted at most " + std::to_string(most_pixels));
  }
  if (passes * width * height > most_passes) throw Error(name + ": " + std::to_string(passes) + " scans; save it again with fewer");
}

/// Exif's Orientation, 1 to 8 (CIPA DC-008-2019, 4.6.4): the first entry of that tag in the first directory, if it is
/// one SHORT. Whatever else is said, or is damaged, counts as 1.
int orientation_of(const Bytes& exif) {
  static const std::uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  const bool is_prefixed = exif.size() >= 6 && std::equal(prefix, prefix + 6, exif.begin());
  const std::size_t start = is_prefixed ? 6 : 0, size = exif.size() - start;
  if (size < 8) return 1;
  const std::uint8_t* block = exif.data() + start;
  const bool is_little = std::memcmp(block, "II*\0", 4) == 0;
  if (!is_little && std::memcmp(block, "MM\0*", 4) != 0) return 1;
  const auto number = [&](std::size_t at, int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | block[at + static_cast<std::size_t>(is_little ? bytes - 1 - i : i)];
    return value;
  };
  const std::size_t directory = number(4, 4);
  if (directory + 2 > size) return 1;
  const std::size_t end = std::min(directory + 2 + 12 * std::size_t{number(directory, 2)}, size);
  for (std::size_t entry = directory + 2; entry + 12 <= size && entry < end; entry += 12) {
    if (number(entry, 2) != 0x0112) continue;
    const std::uint32_t value = number(entry + 8, 2);
    const bool is_one_short = number(entry + 2, 2) == 3 && number(entry + 4, 4) == 1;
    return is_one_short && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

/// Mirrored, or turned by a multiple of 90°, as it is to be shown.
Picture turned(Picture stored, int orientation) {
  if (orientation == 1) return stored;
  const bool is_swapped = orientation >= 5;
  const bool is_up = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const bool is_left = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  Picture shown{is_swapped ? stored.width : stored.height, is_swapped ? stored.height : stored.width, stored.channels, {}};
  shown.pixels.resize(stored.pixels.size());
  const auto channels = static_cast<std::size_t>(stored.channels);
  std::uint8_t* to = shown.pixels.data();
  for (int y = 0; y < shown.height; ++y) {
    const int down = is_up ? shown.height - 1 - y : y;
    for (int x = 0; x < shown.width; ++x, to += channels) {
      const int across = is_left ? shown.width - 1 - x : x;
      const std::size_t row = std::size_t(is_swapped ? across : down), column = std::size_t(is_swapped ? down : across);
      std::copy_n(stored.pixels.data() + (row * std::size_t(stored.width) + column) * channels, channels, to);
    }
  }
  return shown;
}

/// Colours in 8 bits: what is seen of the picture on white paper.
Picture in_eight_bits(const Samples& samples, int white, const std::string& name) {
  const int colours = samples.channels - (samples.has_alpha ? 1 : 0), step = samples.channels;
  if (samples.is_wide) {
    int largest = 0;
    for (std::size_t i = 0; i < samples.values.size(); ++i) {
      if (static_cast<int>(i % std::size_t(step)) < colours) largest = std::max<int>(largest, samples.values[i]);
    }
    if (white == 0) throw Error(name + " has 16 bits a channel and values up to " + std::to_string(largest) + "; the contract does not say which is white (input.white)");
    if (largest > white) throw Error(name + " holds the value " + std::to_string(largest) + ", above the " + std::to_string(white) + " that input.white says is white");
  }
  const auto eight = [&](std::uint32_t value, std::uint32_t most) {
    return samples.is_wide ? (value * 255 + most / 2) / most : value;
  };
  Picture picture{samples.height, samples.width, colours, {}};
  picture.pixels.resize(area(samples) * std::size_t(colours));
  const std::uint16_t* from = samples.values.data();
  for (std::size_t at = 0; at < picture.pixels.size(); from += step) {
    const std::uint32_t alpha = samples.has_alpha ? eight(from[colours], 65'535) : 255;
    for (int c = 0; c < colours; ++c) {
      const std::uint32_t value = eight(from[c], static_cast<std::uint32_t>(white));
      picture.pixels[at++] = static_cast<std::uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return picture;
}

/// Grey as RGB with equal channels.
Picture tripled(const Picture& grey) {
  Picture picture{grey.height, grey.width, 3, {}};
  picture.pixels.reserve(grey.pixels.size() * 3);
  for (const std::uint8_t value : grey.pixels) picture.pixels.insert(picture.pixels.end(), 3, value);
  return picture;
}

}  // namespace
}  // namespace bctoolkit
