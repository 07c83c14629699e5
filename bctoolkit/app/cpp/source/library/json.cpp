// JSON of others (RFC 8259), of bounded depth and number of values. A reader of our own: it is shorter than the bounds
// that another one would have to be given from outside, and an app that copies two files needs no third.

#include <cmath>
#include <locale>
#include <set>
#include <sstream>

namespace bctoolkit {
namespace {

constexpr int deepest = 32;
constexpr std::size_t most_values = 1'000'000;

struct Json {
  enum class Kind { null, boolean, number, text, list, object };
  Kind kind = Kind::null;
  double number = 0;               ///< Of a boolean 0 or 1.
  std::string text;                ///< In UTF-8.
  std::vector<std::string> names;  ///< Of an object's members, which are `items`.
  std::vector<Json> items;

  const Json* find(const std::string& name) const {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return &items[i];
    }
    return nullptr;
  }
  bool is_null() const { return kind == Kind::null; }
};

/// Whether two values are the same; a member that is null counts as one that is missing.
bool same(const Json& one, const Json& other) {
  if (one.kind != other.kind || one.number != other.number || one.text != other.text) return false;
  if (one.kind == Json::Kind::list) {
    return one.items.size() == other.items.size() &&
           std::equal(one.items.begin(), one.items.end(), other.items.begin(), same);
  }
  const auto within = [](const Json& inner, const Json& outer) {
    for (std::size_t i = 0; i < inner.names.size(); ++i) {
      const Json* found = outer.find(inner.names[i]);
      if (found == nullptr ? !inner.items[i].is_null() : !same(inner.items[i], *found)) return false;
    }
    return true;
  };
  return within(one, other) && within(other, one);
}

/// Length of the character in UTF-8 at a place, 0 where there is none.
std::size_t utf8_length(const char* at, std::size_t left) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(at[i]); };
  const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xC2 ? 0 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : byte(0) < 0xF5 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
  const bool beyond = (byte(0) == 0xED && byte(1) > 0x9F) || (byte(0) == 0xF4 && byte(1) > 0x8F);
  return overlong || beyond ? 0 : length;
}

class JsonReader {
 public:
  JsonReader(const Bytes& content, const std::string& source)
      : text_(content.begin(), content.end()), source_(source) {}

  Json read() {
    Json value = any(0);
    skip_blanks();
    if (at_ != text_.size()) fail("something follows its end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(shown(source_) + ": not readable as JSON (" + reason + ", at byte " + std::to_string(at_) + ")");
  }

  void skip_blanks() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
  }

  char next() {
    if (at_ >= text_.size()) fail("it is cut short");
    return text_[at_];
  }

  bool take(char wanted) {
    skip_blanks();
    if (next() != wanted) return false;
    ++at_;
    return true;
  }

  Json any(int depth) {
    if (depth > deepest) fail("nested deeper than " + std::to_string(deepest) + " levels");
    if (++count_ > most_values) fail("more than " + std::to_string(most_values) + " values");
    skip_blanks();
    switch (next()) {
      case '{': return object(depth);
      case '[': return list(depth);
      case '"': return of_text(string());
      case 't': return word("true", Json::Kind::boolean, 1);
      case 'f': return word("false", Json::Kind::boolean, 0);
      case 'n': return word("null", Json::Kind::null, 0);
      default: return number();
    }
  }

  static Json of_text(std::string text) {
    Json value;
    value.kind = Json::Kind::text;
    value.text = std::move(text);
    return value;
  }

  Json word(const char* letters, Json::Kind kind, double number) {
    const std::size_t length = std::strlen(letters);
    if (text_.compare(at_, length, letters) != 0) fail("no value");
    at_ += length;
    Json value;
    value.kind = kind;
    value.number = number;
    return value;
  }

  Json list(int depth) {
    Json value;
    value.kind = Json::Kind::list;
    ++at_;
    if (take(']')) return value;
    do value.items.push_back(any(depth + 1));
    while (take(','));
    if (!take(']')) fail("a list without its end");
    return value;
  }

  Json object(int depth) {
    Json value;
    value.kind = Json::Kind::object;
    ++at_;
    if (take('}')) return value;
    std::set<std::string> seen;
    do {
      skip_blanks();
      if (next() != '"') fail("a member without a name");
      value.names.push_back(string());
      if (!seen.insert(value.names.back()).second) fail("a name that stands twice");
      if (!take(':')) fail("a member without a value");
      value.items.push_back(any(depth + 1));
    } while (take(','));
    if (!take('}')) fail("an object without its end");
    return value;
  }

  void digits() {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    if (at_ == start) fail("no value");
  }

  Json number() {
    const std::size_t start = at_;
    if (next() == '-') ++at_;
    const bool leading_zero = next() == '0';
    const std::size_t whole = at_;
    digits();
    if (leading_zero && at_ > whole + 1) fail("a number that begins with 0");
    if (at_ < text_.size() && text_[at_] == '.') ++at_, digits();
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (next() == '+' || next() == '-') ++at_;
      digits();
    }
    std::istringstream stream(text_.substr(start, at_ - start));
    stream.imbue(std::locale::classic());  // an app's locale may write 0,5
    Json value;
    value.kind = Json::Kind::number;
    if (!(stream >> value.number) || !std::isfinite(value.number)) fail("a number that is too large");
    return value;
  }

  std::string string() {
    std::string value;
    ++at_;
    while (next() != '"') {
      if (next() == '\\') {
        append_escape(value);
        continue;
      }
      const std::size_t length = utf8_length(&text_[at_], text_.size() - at_);
      if (length == 0 || static_cast<unsigned char>(text_[at_]) < 0x20) fail("text that is not UTF-8");
      value.append(text_, at_, length);
      at_ += length;
    }
    ++at_;
    return value;
  }

  void append_escape(std::string& value) {
    static const std::string letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    ++at_;
    const std::size_t which = letters.find(next());
    if (which != std::string::npos) {
      value += meant[which];
      ++at_;
      return;
    }
    if (next() != 'u') fail("an escape that is none");
    ++at_;
    std::uint32_t code = hexadecimal();
    if (code >= 0xD800 && code < 0xDC00 && text_.compare(at_, 2, "\\u") == 0) {
      at_ += 2;
      const std::uint32_t low = hexadecimal();
      if (low < 0xDC00 || low > 0xDFFF) fail("half a character");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code < 0xE000) fail("half a character");
    append_utf8(value, code);
  }

  std::uint32_t hexadecimal() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char digit = next();
      const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
      if (lower >= '0' && lower <= '9') code = code * 16 + static_cast<std::uint32_t>(lower - '0');
      else if (lower >= 'a' && lower <= 'f') code = code * 16 + static_cast<std::uint32_t>(lower - 'a' + 10);
      else fail("an escape that is none");
    }
    return code;
  }

  static void append_utf8(std::string& value, std::uint32_t code) {
    const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const std::uint32_t leads[] = {0, 0xC0, 0xE0, 0xF0};
    value += static_cast<char>(leads[more] | code >> (6 * more));
    for (int i = more - 1; i >= 0; --i) value += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
  }

  std::string text_;
  const std::string source_;
  std::size_t at_ = 0, count_ = 0;
};

/// The value of a member of a kind.
const Json& member(const Json& object, const std::string& name, Json::Kind kind, const std::string& source) {
  const Json* found = object.find(name);
  if (found == nullptr || found->kind != kind) throw Error(shown(source) + ": '" + name + "' is missing, or of another kind");
  return *found;
}

const std::string& text_of(const Json& object, const std::string& name, const std::string& source) {
  return member(object, name, Json::Kind::text, source).text;
}

double number_of(const Json& object, const std::string& name, const std::string& source) {
  return member(object, name, Json::Kind::number, source).number;
}

/// A whole number within bounds.
std::int64_t whole_of(const Json& value, const std::string& name, std::int64_t least, std::int64_t most, const std::string& source) {
  const bool fits = value.kind == Json::Kind::number && value.number >= static_cast<double>(least) &&
                    value.number <= static_cast<double>(most) && value.number == std::floor(value.number);
  if (!fits) {
    throw Error(shown(source) + ": '" + name + "' is no whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<std::int64_t>(value.number);
}

std::int64_t whole_of(const Json& object, const std::string& name, std::int64_t most, const std::string& source) {
  return whole_of(member(object, name, Json::Kind::number, source), name, 1, most, source);
}

}  // namespace
}  // namespace bctoolkit
