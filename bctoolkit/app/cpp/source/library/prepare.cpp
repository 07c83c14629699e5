// From a file to the model's input, as docs/preprocessing.md of bctoolkit says it: decoded, upright, opaque, in 8 bits,
// cropped, resized. The values are those of Pillow's resize, to the last bit.

namespace bctoolkit {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr int precision_bits = 22;
constexpr std::int32_t half_a_step = 1 << (precision_bits - 1);

double sinc(double x) { return x == 0 ? 1 : std::sin(x * pi) / (x * pi); }

double weight_of(Filter filter, double x) {
  const double far = std::abs(x);
  switch (filter) {
    case Filter::bilinear: return far < 1 ? 1 - far : 0;
    case Filter::bicubic:
      if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
      return far < 2 ? (((far - 5) * far + 8) * far - 4) * -0.5 : 0;
    default: return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
}

double reach_of(Filter filter) { return filter == Filter::bilinear ? 1 : filter == Filter::bicubic ? 2 : 3; }

/// Which values of an axis make one value of the resized axis, and how much each counts, in 2^22nds.
struct Share {
  int first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Share> shares_of(Filter filter, int from, int to) {
  std::vector<Share> shares(static_cast<std::size_t>(to));
  const double scale = static_cast<double>(from) / to, stretch = std::max(scale, 1.0), reach = reach_of(filter) * stretch;
  const double shrink = 1 / stretch;
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - reach + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + reach + 0.5), from);
    std::vector<double> exact;
    double total = 0;
    for (int x = first; x < end; ++x) {
      exact.push_back(weight_of(filter, (x - centre + 0.5) * shrink));
      total += exact.back();
    }
    Share& share = shares[static_cast<std::size_t>(i)];
    share.first = first;
    for (const double weight : exact) {
      const double part = (total != 0 ? weight / total : weight) * (1 << precision_bits);
      share.weights.push_back(static_cast<std::int32_t>(part < 0 ? part - 0.5 : part + 0.5));
    }
  }
  return shares;
}

std::uint8_t rounded(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> precision_bits, 0, 255)); }

/// One row in another width.
template <int channels>
void mix_columns(const std::uint8_t* row, const std::vector<Share>& shares, std::uint8_t* to) {
  for (const Share& share : shares) {
    std::int32_t sums[channels];
    std::fill_n(sums, channels, half_a_step);
    const std::uint8_t* from = row + share.first * channels;
    for (const std::int32_t weight : share.weights) {
      for (int c = 0; c < channels; ++c) sums[c] += *from++ * weight;
    }
    for (const std::int32_t sum : sums) *to++ = rounded(sum);
  }
}

Picture widened(const Picture& picture, int width, Filter filter) {
  Picture resized{picture.height, width, picture.channels, {}};
  const std::vector<Share> shares = shares_of(filter, picture.width, width);
  const std::size_t channels = std::size_t(picture.channels);
  resized.pixels.resize(std::size_t(picture.height) * std::size_t(width) * channels);
  const auto mix = picture.channels == 3 ? mix_columns<3> : mix_columns<1>;
  for (std::size_t y = 0; y < std::size_t(picture.height); ++y) {
    mix(&picture.pixels[y * std::size_t(picture.width) * channels], shares, &resized.pixels[y * std::size_t(width) * channels]);
  }
  return resized;
}

Picture heightened(const Picture& picture, int height, Filter filter) {
  Picture resized{height, picture.width, picture.channels, {}};
  const std::size_t row = std::size_t(picture.width) * std::size_t(picture.channels);
  resized.pixels.reserve(std::size_t(height) * row);
  std::vector<std::int32_t> sums(row);
  for (const Share& share : shares_of(filter, picture.height, height)) {
    std::fill(sums.begin(), sums.end(), half_a_step);
    const std::uint8_t* from = &picture.pixels[std::size_t(share.first) * row];
    for (const std::int32_t weight : share.weights) {
      for (std::size_t x = 0; x < row; ++x) sums[x] += *from++ * weight;
    }
    std::transform(sums.begin(), sums.end(), std::back_inserter(resized.pixels), rounded);
  }
  return resized;
}

/// The place in the picture that each place of a resized axis shows; the steps are added up, as Pillow does.
std::vector<std::size_t> nearest_places(int from, int to) {
  const double step = static_cast<double>(from) / to;
  double place = step * 0.5;
  std::vector<std::size_t> places;
  for (int i = 0; i < to; ++i, place += step) places.push_back(std::size_t(std::min(static_cast<int>(place), from - 1)));
  return places;
}

Picture resized_to_nearest(const Picture& picture, int height, int width) {
  Picture resized{height, width, picture.channels, {}};
  const std::size_t channels = std::size_t(picture.channels);
  const std::vector<std::size_t> columns = nearest_places(picture.width, width);
  for (const std::size_t row : nearest_places(picture.height, height)) {
    for (const std::size_t column : columns) {
      const std::uint8_t* from = picture.pixels.data() + (row * std::size_t(picture.width) + column) * channels;
      resized.pixels.insert(resized.pixels.end(), from, from + channels);
    }
  }
  return resized;
}

Picture resized(Picture picture, const Contract& contract) {
  if (picture.height == contract.height && picture.width == contract.width) return picture;
  if (contract.resize == Filter::nearest) return resized_to_nearest(picture, contract.height, contract.width);
  if (picture.width != contract.width) picture = widened(picture, contract.width, contract.resize);
  return picture.height == contract.height ? picture : heightened(picture, contract.height, contract.resize);
}

/// A picture's shorter side may differ by one in so many from the one that the contract states.
constexpr int scale_tolerance = 10;

/// Pixels of the square that is cut out of the centre of a picture.
int side_of_centre(const Picture& picture, const Contract& contract, const std::string& name) {
  const int shorter = std::min(picture.height, picture.width);
  if (contract.crop == Crop::square) return shorter;
  const std::string crop = std::to_string(contract.crop_side), square = crop + "×" + crop;
  const std::string has = name + " has " + std::to_string(picture.width) + "×" + std::to_string(picture.height) + " pixels";
  if (contract.picture != 0) {
    if (picture.height == picture.width && shorter <= contract.crop_side) return shorter;  // prepared already
    if (std::abs(shorter - contract.picture) * scale_tolerance > contract.picture) {
      throw Error(has + "; the network knows the centre " + square + " of pictures of about " + std::to_string(contract.picture) +
                  " pixels: give those, at that scale, or such centres cut out");
    }
  }
  if (contract.crop_side > shorter) throw Error(has + ", less than the contract's crop of " + square);
  return contract.crop_side;
}

Picture cropped(const Picture& picture, const Contract& contract, const std::string& name) {
  if (contract.crop == Crop::none) return picture;
  const int side = side_of_centre(picture, contract, name);
  const int top = (picture.height - side) / 2, left = (picture.width - side) / 2;
  Picture square{side, side, picture.channels, {}};
  const std::size_t channels = std::size_t(picture.channels);
  square.pixels.reserve(std::size_t(side) * std::size_t(side) * channels);
  for (int y = top; y < top + side; ++y) {
    const std::uint8_t* from = picture.pixels.data() + (std::size_t(y) * std::size_t(picture.width) + std::size_t(left)) * channels;
    square.pixels.insert(square.pixels.end(), from, from + std::size_t(side) * channels);
  }
  return square;
}

/// ITU-R 601-2 luma.
Picture in_grey(const Picture& picture) {
  Picture grey{picture.height, picture.width, 1, {}};
  grey.pixels.reserve(picture.pixels.size() / 3);
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    const std::uint8_t* rgb = &picture.pixels[i];
    grey.pixels.push_back(static_cast<std::uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16));
  }
  return grey;
}

/// Pixels that are upright, opaque and of 8 bits, as the model's input.
Picture prepare_pixels(const Picture& picture, const Contract& contract, const std::string& name) {
  Picture square = cropped(picture, contract, name);
  if (square.channels == 3 && contract.channels == 1) square = in_grey(square);
  if (square.channels == 1 && contract.channels == 3) square = tripled(square);
  return resized(std::move(square), contract);
}

Picture prepare_file(const Bytes& content, const Contract& contract, const std::string& name) {
  static const std::uint8_t jpeg[] = {0xFF, 0xD8, 0xFF}, png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto begins = [&](const auto& with) {
    return content.size() >= sizeof with && std::equal(std::begin(with), std::end(with), content.begin());
  };
  if (!begins(jpeg) && !begins(png)) {
    throw Error(name + ": cannot be decoded as an image (" + (content.empty() ? "the file is empty" : "it is neither JPEG nor PNG") + ")");
  }
  Decoded decoded = begins(jpeg) ? decode_jpeg(content, name) : decode_png(content, contract.white, name);
  return prepare_pixels(turned(std::move(decoded.picture), orientation_of(decoded.exif)), contract, name);
}

}  // namespace
}  // namespace bctoolkit
