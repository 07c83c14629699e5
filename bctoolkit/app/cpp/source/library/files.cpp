// Files of others: regular ones of a bounded size; and text of others, in one line.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bctoolkit {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t longest_shown = 200;

/// Text that neither breaks the line nor steers a terminal.
std::string shown(const std::string& text) {
  std::string line;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool is_c1 = byte == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F || is_c1) {
      line += '?';
      at += is_c1 ? 1 : 0;
    } else {
      line += text[at];
    }
    if (line.size() >= longest_shown) return line + "…";
  }
  return line;
}

/// Closes a file.
class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

enum class Links { followed, refused };

[[noreturn]] void fail_on(const std::string& path) {
  const int reason = errno;
  if (reason == ELOOP) throw Error(shown(path) + ": is a link; put the file itself there");
  throw Error(shown(path) + ": " + std::strerror(reason));
}

/// The content of a regular file of at most `most` bytes.
Bytes read_bounded(const std::string& path, std::uint64_t most, Links links = Links::followed) {
  if (path.find('\0') != std::string::npos) throw Error(shown(path) + ": no file can be called so");
  const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (links == Links::refused ? O_NOFOLLOW : 0);
  const File file(open(path.c_str(), flags));  // without waiting for a writer, where it is a pipe
  if (file.number() < 0) fail_on(path);
  struct stat status {};
  if (fstat(file.number(), &status) != 0) fail_on(path);
  if (!S_ISREG(status.st_mode)) throw Error(shown(path) + ": is no regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > most) {
    throw Error(shown(path) + ": " + std::to_string(size) + " bytes; wanted at most " + std::to_string(most));
  }
  Bytes content(size + 1);  // one more shows whether it has grown meanwhile
  std::size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t count = read(file.number(), content.data() + filled, content.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_on(path);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  if (filled != size) throw Error(shown(path) + ": is being changed; read it again when it is whole");
  content.resize(size);
  return content;
}

bool exists(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

}  // namespace
}  // namespace bctoolkit
