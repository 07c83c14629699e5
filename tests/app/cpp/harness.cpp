// What the tests ask of the library beneath its interface: it is included whole, without an engine.
//
//   harness prepare HEIGHT WIDTH CHANNELS SIDE FILTER WHITE FILE…   SHA-256 of the prepared values of each, or why not
//   harness mutate SEED ROUNDS FILE…                                changes bytes of files, and prepares them
//   harness bundles SEED ROUNDS BUNDLE SCRATCH                      changes files of a bundle, seals it, and reads it

#include "bctoolkit.cpp"

#include <iostream>
#include <random>

namespace bctoolkit {
namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) { return static_cast<std::size_t>(random() % std::max<std::size_t>(limit, 1)); }

/// Some bytes changed, taken out, repeated or cut off.
Bytes mutated(Bytes content, Random& random) {
  for (std::size_t changes = 1 + below(random, 4); changes > 0 && !content.empty(); --changes) {
    const std::size_t at = below(random, content.size());
    const auto place = content.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = std::min(below(random, 40) + 1, content.size() - at);
    static const std::uint8_t edges[] = {0, 1, 0x7F, 0x80, 0xFE, 0xFF};
    switch (below(random, 6)) {
      case 0: content[at] = static_cast<std::uint8_t>(random()); break;
      case 1: content[at] = edges[below(random, sizeof edges)]; break;
      case 2: content[at] ^= static_cast<std::uint8_t>(1u << below(random, 8)); break;
      case 3: content.erase(place, place + static_cast<std::ptrdiff_t>(length)); break;
      case 4: {
        const Bytes piece(place, place + static_cast<std::ptrdiff_t>(length));
        content.insert(content.begin() + static_cast<std::ptrdiff_t>(below(random, content.size())), piece.begin(), piece.end());
        break;
      }
      default: content.resize(at);
    }
  }
  return content;
}

/// A PNG's chunks get the checksums of what they hold now, so that what lies behind them is reached.
void repair_png(Bytes& content) {
  for (std::size_t at = 8; content.size() >= 12 && at <= content.size() - 12;) {
    const std::size_t length = big(content, at);
    if (length > content.size() - at - 12) return;
    const auto sum = crc32(0, content.data() + at + 4, static_cast<uInt>(length + 4));
    for (std::size_t i = 0; i < 4; ++i) content[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    at += length + 12;
  }
}

int prepare_files(const std::vector<std::string>& words) {
  Contract contract;
  contract.height = std::stoi(words[0]);
  contract.width = std::stoi(words[1]);
  contract.channels = std::stoi(words[2]);
  contract.crop_side = std::stoi(words[3]);
  contract.crop = contract.crop_side > 0 ? Crop::pixels : contract.crop_side < 0 ? Crop::none : Crop::square;
  contract.resize = static_cast<Filter>(std::stoi(words[4]));
  contract.white = std::stoi(words[5]);
  for (std::size_t i = 6; i < words.size(); ++i) {
    try {
      std::cout << sha256(prepare_file(read_bounded(words[i], most_image_bytes), contract, "file").pixels) << "\n";
    } catch (const Error& problem) {
      std::cout << "refused: " << problem.what() << "\n";
    }
  }
  return 0;
}

int mutate(const std::vector<std::string>& words) {
  Random random(std::stoull(words[0]));
  Contract contract;
  contract.height = 24, contract.width = 20, contract.channels = 3, contract.white = 4095;
  std::size_t refused = 0, taken = 0;
  std::vector<Bytes> files;
  for (std::size_t i = 2; i < words.size(); ++i) files.push_back(read_bounded(words[i], most_image_bytes));
  for (std::size_t round = std::stoull(words[1]); round > 0; --round) {
    Bytes content = mutated(files[below(random, files.size())], random);
    if (below(random, 2) == 0) repair_png(content);
    try {
      taken += prepare_file(content, contract, "file").pixels.size() == 24 * 20 * 3;
    } catch (const Error&) {
      ++refused;
    }
  }
  std::cout << taken << " taken, " << refused << " refused\n";
  return 0;
}

void write_file(const std::string& path, const Bytes& content) {
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.number() < 0 || write(file.number(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) fail_on(path);
}

/// What stands for one hash in the manifest stands for another.
void replace(Bytes& text, const std::string& from, const std::string& to) {
  const auto found = std::search(text.begin(), text.end(), from.begin(), from.end());
  if (found != text.end()) std::copy(to.begin(), to.end(), found);
}

int bundles(const std::vector<std::string>& words) {
  Random random(std::stoull(words[0]));
  const std::string source = words[2] + "/", scratch = words[3] + "/";
  static const char* const names[] = {"manifest.json", "golden.npz", "validation.npz", "manifest.json.sha256"};
  const Bytes manifest = read_bounded(source + "manifest.json", most_json);
  std::size_t refused = 0, taken = 0;
  for (std::size_t round = std::stoull(words[1]); round > 0; --round) {
    const std::string name = names[below(random, 4)];
    const Bytes original = read_bounded(source + name, most_file), changed = mutated(original, random);
    Bytes sealed = name == "manifest.json" ? changed : manifest;
    replace(sealed, sha256(original), sha256(changed));
    const std::string seal = sha256(sealed) + "\n";
    write_file(scratch + "manifest.json.sha256", Bytes(seal.begin(), seal.end()));
    if (name != "manifest.json") write_file(scratch + name, changed);
    write_file(scratch + "manifest.json", sealed);
    try {
      const Bundle bundle(words[3]);
      bundle.golden();
      if (bundle.manifest().acceptance) {
        const int channels = bundle.manifest().contract.channels;
        AcceptanceRule(*bundle.manifest().acceptance, bundle.validation_features(feature_count(channels)), channels);
      }
      ++taken;
    } catch (const Error&) {
      ++refused;
    }
    if (name != "manifest.json") write_file(scratch + name, original);
  }
  std::cout << taken << " taken, " << refused << " refused\n";
  return 0;
}

}  // namespace
}  // namespace bctoolkit

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 2, arguments + count);
  const std::string command = arguments[1];
  if (command == "prepare") return bctoolkit::prepare_files(words);
  return command == "mutate" ? bctoolkit::mutate(words) : bctoolkit::bundles(words);
}
