// PNG of every kind that the standard knows (W3C PNG, third edition), its numbers as they are stored: no gamma, no
// profile. A picture with more than one frame is refused.

#include <png.h>

namespace bctoolkit {
namespace {

struct PngReader {
  const Bytes& content;
  std::size_t at = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char reason[200] = {};
  Bytes rows;
  std::vector<png_bytep> starts;
  explicit PngReader(const Bytes& bytes) : content(bytes) {}
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void leave_png(png_structp png, png_const_charp reason) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader->reason, sizeof reader->reason, "%s", reason);
  png_longjmp(png, 1);
}

void read_png(png_structp png, png_bytep to, png_size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader->content.size() - reader->at) png_error(png, cut_short);
  std::memcpy(to, reader->content.data() + reader->at, count);
  reader->at += count;
}

/// Runs a step of libpng, which leaves through longjmp.
template <typename Step>
void attempt_png(PngReader& reader, const std::string& name, Step step) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) require_ok(reader.reason, name);
  step();
}

std::uint32_t big(const Bytes& content, std::size_t at) {
  return std::uint32_t{content[at]} << 24 | std::uint32_t{content[at + 1]} << 16 | std::uint32_t{content[at + 2]} << 8 | content[at + 3];
}

/// Chunks that libpng does not interpret: the Exif block; how many frames there are.
struct PngChunks {
  Bytes exif;
  std::uint32_t frames = 1;
};

PngChunks chunks_of(const Bytes& content) {
  PngChunks chunks;
  bool is_controlled = false, is_default_apart = false, has_frame = false, has_data = false;
  for (std::size_t at = 8; content.size() >= 12 && at <= content.size() - 12;) {
    const std::size_t length = big(content, at);
    if (length > content.size() - at - 12) break;
    const char* kind = reinterpret_cast<const char*>(content.data() + at + 4);
    const auto data = content.begin() + static_cast<std::ptrdiff_t>(at + 8);
    if (std::memcmp(kind, "eXIf", 4) == 0) chunks.exif.assign(data, data + static_cast<std::ptrdiff_t>(length));
    if (std::memcmp(kind, "acTL", 4) == 0 && length >= 8 && !is_controlled && !has_data) {
      chunks.frames = big(content, at + 8);
      is_controlled = true;
    }
    has_frame = has_frame || std::memcmp(kind, "fcTL", 4) == 0;
    if (std::memcmp(kind, "IDAT", 4) == 0 && !has_data) {
      is_default_apart = !has_frame;
      has_data = true;
    }
    at += length + 12;
  }
  if (is_controlled && is_default_apart) ++chunks.frames;
  return chunks;
}

/// What a palette or a transparent colour makes of the stored numbers.
class PngColours {
 public:
  PngColours(png_structp png, png_infop info) : type_(png_get_color_type(png, info)), depth_(png_get_bit_depth(png, info)) {
    if (png_get_PLTE(png, info, &palette_, &palette_size_) == 0) palette_size_ = 0;
    if (png_get_tRNS(png, info, &alphas_, &alphas_size_, &key_) == 0) alphas_size_ = 0, key_ = nullptr;
  }

  bool is_palette() const { return type_ == PNG_COLOR_TYPE_PALETTE; }
  bool stores_alpha() const { return (type_ & PNG_COLOR_MASK_ALPHA) != 0; }
  bool has_alpha() const { return stores_alpha() || (is_palette() ? alphas_size_ > 0 : key_ != nullptr); }
  int colours() const { return (type_ & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1; }
  bool is_wide() const { return depth_ == 16; }

  /// Appends a pixel; `stored` are its numbers, one for a palette.
  void append(const std::uint16_t* stored, std::vector<std::uint16_t>& values) const {
    if (is_palette()) return append_entry(stored[0], values);
    const int most = (1 << depth_) - 1, widened = is_wide() ? 1 : 255 / most;
    for (int c = 0; c < colours(); ++c) values.push_back(static_cast<std::uint16_t>(stored[c] * widened));
    if (stores_alpha()) values.push_back(stored[colours()]);
    else if (key_ != nullptr) values.push_back(is_key(stored, most) ? 0 : is_wide() ? 65'535 : 255);
  }

 private:
  void append_entry(int index, std::vector<std::uint16_t>& values) const {
    const png_color entry = index < palette_size_ ? palette_[index] : png_color{0, 0, 0};
    values.insert(values.end(), {entry.red, entry.green, entry.blue});
    if (has_alpha()) values.push_back(index < alphas_size_ ? alphas_[index] : 255);
  }

  bool is_key(const std::uint16_t* stored, int most) const {
    if (colours() == 1) return stored[0] == (key_->gray & most);
    return stored[0] == (key_->red & most) && stored[1] == (key_->green & most) && stored[2] == (key_->blue & most);
  }

  int type_, depth_, palette_size_ = 0, alphas_size_ = 0;
  png_colorp palette_ = nullptr;
  png_bytep alphas_ = nullptr;
  png_color_16p key_ = nullptr;
};

Decoded decode_png(const Bytes& content, int white, const std::string& name) {
  const PngChunks chunks = chunks_of(content);
  if (chunks.frames > 1) throw Error(name + " has more than one frame or page; save the one that counts as a file of its own");
  PngReader reader(content);
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, leave_png, [](png_structp, png_const_charp) {});
  reader.info = reader.png == nullptr ? nullptr : png_create_info_struct(reader.png);
  if (reader.info == nullptr) throw Error(name + ": libpng cannot be used");
  attempt_png(reader, name, [&] {
    png_set_read_fn(reader.png, &reader, read_png);
    png_set_user_limits(reader.png, most_pixels, most_pixels);
    png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(reader.png, reader.info);
  });
  Samples samples;
  require_size(png_get_image_width(reader.png, reader.info), png_get_image_height(reader.png, reader.info), 1, name);
  samples.width = static_cast<int>(png_get_image_width(reader.png, reader.info));
  samples.height = static_cast<int>(png_get_image_height(reader.png, reader.info));
  const std::size_t width = std::size_t(samples.width);
  const PngColours colours(reader.png, reader.info);  // before the depth in `info` becomes that of what is read
  attempt_png(reader, name, [&] {
    png_set_packing(reader.png);
    png_set_interlace_handling(reader.png);
    png_read_update_info(reader.png, reader.info);
  });
  const std::size_t row_bytes = png_get_rowbytes(reader.png, reader.info), stored = png_get_channels(reader.png, reader.info);
  reader.rows.resize(row_bytes * std::size_t(samples.height));
  for (int y = 0; y < samples.height; ++y) reader.starts.push_back(reader.rows.data() + row_bytes * std::size_t(y));
  attempt_png(reader, name, [&] { png_read_image(reader.png, reader.starts.data()); });
  samples.is_wide = colours.is_wide();
  samples.has_alpha = colours.has_alpha();
  samples.channels = colours.colours() + (samples.has_alpha ? 1 : 0);
  samples.values.reserve(area(samples) * std::size_t(samples.channels));
  std::uint16_t pixel[4];
  for (const png_bytep row : reader.starts) {
    for (std::size_t x = 0; x < width * stored; x += stored) {
      for (std::size_t c = 0; c < stored; ++c) {
        pixel[c] = samples.is_wide ? static_cast<std::uint16_t>(row[2 * (x + c)] << 8 | row[2 * (x + c) + 1]) : row[x + c];
      }
      colours.append(pixel, samples.values);
    }
  }
  return {in_eight_bits(samples, white, name), chunks.exif};
}

}  // namespace
}  // namespace bctoolkit
