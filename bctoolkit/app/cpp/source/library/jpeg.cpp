// JPEG, as libjpeg-turbo decodes it by default: slow integer DCT, smooth chroma. What is cut short is refused, where
// libjpeg's own reader of memory would fill it up with grey.

#include <csetjmp>

#include <jpeglib.h>
#include <jerror.h>

namespace bctoolkit {
namespace {

/// libjpeg leaves through longjmp, so that nothing with a destructor may live between here and there.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf escape;
  char reason[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->reason);
  std::longjmp(errors->escape, 1);
}

void start_source(j_decompress_ptr) {}
boolean no_more(j_decompress_ptr) { return FALSE; }

void skip_in_source(j_decompress_ptr info, long count) {
  const std::size_t left = info->src->bytes_in_buffer;
  const std::size_t skipped = count <= 0 ? 0 : std::min(left, static_cast<std::size_t>(count));
  info->src->next_input_byte += skipped;
  info->src->bytes_in_buffer = left - skipped;
}

struct JpegDecoder {
  jpeg_decompress_struct info{};
  jpeg_source_mgr source{};
  JpegErrors errors{};
  bool is_created = false;
  ~JpegDecoder() {
    if (is_created) jpeg_destroy_decompress(&info);
  }
};

const char* const cut_short = "cut short";

/// Runs a step of libjpeg; the reason where it fails.
template <typename Step>
const char* attempt(JpegDecoder& decoder, Step step) {
  if (setjmp(decoder.errors.escape) != 0) return decoder.errors.reason;
  return step(decoder.info) ? nullptr : cut_short;
}

void require_ok(const char* reason, const std::string& name) {
  if (reason != nullptr) throw Error(name + ": cannot be decoded as an image (" + shown(reason) + ")");
}

/// The Exif block, which may go on in further segments.
Bytes exif_of(const jpeg_decompress_struct& info) {
  static const std::uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  Bytes block;
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->data_length < 6 || !std::equal(prefix, prefix + 6, marker->data)) continue;
    block.insert(block.end(), marker->data + (block.empty() ? 0 : 6), marker->data + marker->data_length);
  }
  return block;
}

std::uint64_t scans_in(const Bytes& content) {
  std::uint64_t scans = 0;
  for (std::size_t i = 1; i < content.size(); ++i) scans += content[i - 1] == 0xFF && content[i] == 0xDA;
  return scans;
}

Decoded decode_jpeg(const Bytes& content, const std::string& name) {
  JpegDecoder decoder;
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors.manager);
  decoder.errors.manager.error_exit = leave;
  decoder.errors.manager.output_message = [](j_common_ptr) {};
  decoder.source.next_input_byte = content.data();
  decoder.source.bytes_in_buffer = content.size();
  decoder.source.init_source = start_source;
  decoder.source.fill_input_buffer = no_more;
  decoder.source.skip_input_data = skip_in_source;
  decoder.source.resync_to_restart = jpeg_resync_to_restart;
  decoder.source.term_source = start_source;
  decoder.is_created = true;
  require_ok(attempt(decoder, [&](auto& each) {
    jpeg_create_decompress(&each);
    each.src = &decoder.source;
    jpeg_save_markers(&each, JPEG_APP0 + 1, 0xFFFF);
    return jpeg_read_header(&each, TRUE) == JPEG_HEADER_OK;
  }), name);
  require_size(info.image_width, info.image_height, scans_in(content), name);
  if (info.num_components == 4) throw Error(name + " is CMYK; wanted grey or RGB; convert it first");
  if (info.num_components != 1 && info.num_components != 3) throw Error(name + " has " + std::to_string(info.num_components) + " channels; wanted grey or RGB");
  Decoded decoded{{}, exif_of(info)};
  Picture& picture = decoded.picture;
  picture.channels = info.num_components;
  info.out_color_space = picture.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  require_ok(attempt(decoder, [](auto& each) { return jpeg_start_decompress(&each); }), name);
  picture.width = static_cast<int>(info.output_width);
  picture.height = static_cast<int>(info.output_height);
  const std::size_t row_bytes = std::size_t(picture.width) * std::size_t(picture.channels);
  picture.pixels.resize(row_bytes * std::size_t(picture.height));
  for (JSAMPROW row = picture.pixels.data(); info.output_scanline < info.output_height; row += row_bytes) {
    require_ok(attempt(decoder, [&](auto& each) { return jpeg_read_scanlines(&each, &row, 1) == 1; }), name);
  }
  require_ok(attempt(decoder, [](auto& each) { return jpeg_finish_decompress(&each); }), name);
  return decoded;
}

}  // namespace
}  // namespace bctoolkit
