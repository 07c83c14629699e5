// Arrays of others: an .npz (PKWARE's APPNOTE.TXT, 4.3) of .npy members (numpy.lib.format), each of a form that is
// known before anything is unpacked.

#include <zlib.h>

namespace bctoolkit {
namespace {

constexpr std::uint64_t most_array_bytes = 1u << 30;
constexpr std::size_t longest_header = 10'000;

/// What an array has to be.
struct ArraySpec {
  std::string name;
  std::string dtype;                 ///< As numpy writes it: |u1, <f4, <i8, <f2.
  std::vector<std::uint64_t> shape;  ///< 0 where an axis may have any length.
};

struct Array {
  std::vector<std::uint64_t> shape;
  Bytes values;  ///< Little-endian, the last axis fastest.
};

std::uint64_t little(const Bytes& content, std::size_t at, int bytes) {
  if (at + static_cast<std::size_t>(bytes) > content.size() || at > content.size()) throw Error("it is cut short");
  std::uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = value << 8 | content[at + static_cast<std::size_t>(i)];
  return value;
}

struct Member {
  std::string name;
  std::uint64_t method = 0, checksum = 0, packed = 0, unpacked = 0, at = 0;
};

/// The list of a zip archive's members, of which there may be `most`.
std::vector<Member> members_of(const Bytes& archive, std::size_t most) {
  constexpr std::size_t end_size = 22, entry_size = 46, longest_comment = 0xFFFF;
  std::size_t end = archive.size() < end_size ? 0 : archive.size() - end_size + 1;
  const std::size_t first = end > longest_comment ? end - longest_comment : 0;
  do {
    if (end == first) throw Error("it has no end record");
    --end;
  } while (little(archive, end, 4) != 0x06054b50);
  const std::uint64_t count = little(archive, end + 10, 2);
  if (count > most) throw Error(std::to_string(count) + " members; wanted at most " + std::to_string(most));
  std::size_t at = little(archive, end + 16, 4);
  std::vector<Member> members;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (little(archive, at, 4) != 0x02014b50) throw Error("its list of members is damaged");
    if (little(archive, at + 8, 2) & (0x1 | 0x40 | 0x2000)) throw Error("a member is encrypted");
    const std::uint64_t name_size = little(archive, at + 28, 2);
    Member member;
    member.method = little(archive, at + 10, 2);
    member.checksum = little(archive, at + 16, 4);
    member.packed = little(archive, at + 20, 4);
    member.unpacked = little(archive, at + 24, 4);
    member.at = little(archive, at + 42, 4);
    little(archive, at + entry_size + name_size, 0);
    member.name.assign(archive.begin() + static_cast<std::ptrdiff_t>(at + entry_size),
                       archive.begin() + static_cast<std::ptrdiff_t>(at + entry_size + name_size));
    for (const Member& other : members) {
      if (other.name == member.name) throw Error("a member is there twice");
    }
    members.push_back(member);
    at += entry_size + name_size + little(archive, at + 30, 2) + little(archive, at + 32, 2);
  }
  return members;
}

/// A member's bytes, of which there may be `most`.
Bytes unpacked(const Bytes& archive, const Member& member, std::uint64_t most) {
  if (member.unpacked > most) {
    throw Error(std::to_string(member.unpacked) + " bytes unpacked; wanted at most " + std::to_string(most));
  }
  if (little(archive, member.at, 4) != 0x04034b50) throw Error("its header is damaged");
  const std::uint64_t start = member.at + 30 + little(archive, member.at + 26, 2) + little(archive, member.at + 28, 2);
  if (start > archive.size() || member.packed > archive.size() - start) throw Error("it is cut short");
  Bytes content(member.unpacked + 1);  // one more shows whether it holds more than it says
  std::size_t size = 0;
  if (member.method == 0 && member.packed == member.unpacked) {
    std::copy_n(archive.begin() + static_cast<std::ptrdiff_t>(start), member.packed, content.begin());
    size = member.packed;
  } else if (member.method == 8) {
    z_stream stream{};
    stream.next_in = const_cast<Bytef*>(archive.data() + start);
    stream.avail_in = static_cast<uInt>(member.packed);
    stream.next_out = content.data();
    stream.avail_out = static_cast<uInt>(content.size());
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw Error("zlib cannot unpack it");
    const int outcome = inflate(&stream, Z_FINISH);
    size = stream.total_out;
    inflateEnd(&stream);
    if (outcome != Z_STREAM_END) throw Error("it cannot be unpacked");
  } else {
    throw Error("it is packed by method " + std::to_string(member.method) + "; wanted stored or deflated");
  }
  if (size != member.unpacked) throw Error("not the size that its archive says");
  content.resize(size);
  if (crc32(0, content.data(), static_cast<uInt>(size)) != member.checksum) throw Error("its checksum differs");
  return content;
}

/// What follows `'name':` in the header of an .npy, which is a dictionary in Python's notation.
std::string entry_of(const std::string& header, const std::string& name) {
  const std::size_t at = header.find("'" + name + "':");
  if (at == std::string::npos) throw Error("a header without " + name);
  const std::size_t start = header.find_first_not_of(' ', at + name.size() + 3);
  if (start == std::string::npos) throw Error("a header without " + name);
  const char* ends = header[start] == '(' ? ")" : ",}";
  const std::size_t end = header.find_first_of(ends, start);
  if (end == std::string::npos) throw Error("a header without " + name);
  return header.substr(start, end - start);
}

std::vector<std::uint64_t> shape_of(const std::string& tuple) {
  std::vector<std::uint64_t> shape;
  std::uint64_t axis = 0;
  int digits = 0;
  for (const char letter : tuple.substr(1) + ",") {
    if (letter >= '0' && letter <= '9' && ++digits <= 18) {
      axis = axis * 10 + static_cast<std::uint64_t>(letter - '0');
    } else if (letter == ',') {
      if (digits > 0) shape.push_back(axis);
      axis = 0, digits = 0;
    } else if (letter != ' ' || digits > 0) {
      throw Error("a header without a shape");
    }
  }
  return shape;
}

std::string in_words(const std::vector<std::uint64_t>& shape) {
  std::string words;
  for (const std::uint64_t axis : shape) words += (words.empty() ? "" : "×") + (axis == 0 ? "N" : std::to_string(axis));
  return words;
}

/// Bytes of all values; more than any array may have where it is too many to count.
std::uint64_t size_of(const std::vector<std::uint64_t>& shape, const std::string& dtype) {
  std::uint64_t size = static_cast<std::uint64_t>(dtype.back() - '0');
  for (const std::uint64_t axis : shape) {
    if (axis != 0 && size > most_array_bytes / axis) return most_array_bytes + 1;
    size *= axis;
  }
  return size;
}

Array array_of(const Bytes& content, const ArraySpec& spec) {
  static const std::string magic = "\x93NUMPY";
  if (content.size() < 8 || !std::equal(magic.begin(), magic.end(), content.begin(), [](char a, std::uint8_t b) {
        return static_cast<std::uint8_t>(a) == b;
      })) {
    throw Error("not in the .npy format");
  }
  const std::size_t length_bytes = content[6] == 1 ? 2 : 4;
  const std::uint64_t length = little(content, 8, static_cast<int>(length_bytes));
  if (content[6] < 1 || content[6] > 3 || content[7] != 0) throw Error("another version of the .npy format");
  const std::size_t start = 8 + length_bytes;
  if (length > longest_header || length > content.size() - start) throw Error("a header that is too long");
  const auto values = content.begin() + static_cast<std::ptrdiff_t>(start + length);
  const std::string header(content.begin() + static_cast<std::ptrdiff_t>(start), values);
  Array array;
  array.shape = shape_of(entry_of(header, "shape"));
  bool fits = entry_of(header, "descr") == "'" + spec.dtype + "'" && array.shape.size() == spec.shape.size();
  for (std::size_t i = 0; fits && i < spec.shape.size(); ++i) fits = spec.shape[i] == 0 || spec.shape[i] == array.shape[i];
  fits = fits && (entry_of(header, "fortran_order") == "False" || array.shape.size() < 2);
  if (!fits) throw Error(in_words(array.shape) + " of another kind; wanted " + in_words(spec.shape) + " " + spec.dtype);
  if (static_cast<std::uint64_t>(content.end() - values) != size_of(array.shape, spec.dtype)) {
    throw Error("not as many values as its header says");
  }
  array.values.assign(values, content.end());
  return array;
}

/// The arrays of an .npz, which holds these and no others.
std::vector<Array> read_npz(const Bytes& archive, const std::vector<ArraySpec>& specs, const std::string& source) {
  std::vector<Array> arrays;
  std::string place = shown(source);
  try {
    const std::vector<Member> members = members_of(archive, specs.size());
    for (const ArraySpec& spec : specs) {
      place = shown(source) + ": '" + spec.name + "'";
      const auto found = std::find_if(members.begin(), members.end(),
                                      [&](const Member& member) { return member.name == spec.name + ".npy"; });
      if (found == members.end()) throw Error("is missing");
      const std::uint64_t most = std::min(most_array_bytes, size_of(spec.shape, spec.dtype));
      const bool is_open = std::find(spec.shape.begin(), spec.shape.end(), 0u) != spec.shape.end();
      arrays.push_back(array_of(unpacked(archive, *found, (is_open ? most_array_bytes : most) + longest_header + 12), spec));
    }
  } catch (const Error& problem) {
    throw Error(place + ": " + problem.what());
  }
  return arrays;
}

float half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double size = exponent == 31  ? (fraction ? std::nan("") : HUGE_VAL)
                      : exponent == 0 ? std::ldexp(fraction, -24)
                                      : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>(bits >> 15 ? -size : size);
}

/// <f4 or <f2 values.
std::vector<float> floats_of(const Array& array, const std::string& dtype) {
  const int bytes = dtype.back() - '0';
  std::vector<float> values(array.values.size() / static_cast<std::size_t>(bytes));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<std::uint32_t>(little(array.values, i * static_cast<std::size_t>(bytes), bytes));
    if (bytes == 2) values[i] = half(static_cast<std::uint16_t>(bits));
    else std::memcpy(&values[i], &bits, sizeof bits);
  }
  return values;
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace
}  // namespace bctoolkit
