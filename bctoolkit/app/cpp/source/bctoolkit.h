// Runs a bundle of bctoolkit where there is no Python: checks its files, prepares pictures as in training, asks the
// engine, and says which answers to rely on. C++17; for systems with POSIX files (Linux, Android, macOS, iOS).
//
// Copy bctoolkit.h and bctoolkit.cpp into your app, and link what CMakeLists.txt links.

#ifndef BCTOOLKIT_H
#define BCTOOLKIT_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace bctoolkit {

/// What goes wrong on purpose: what() is one line with the fact, the value and the remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Crop { none, square, pixels };
enum class Filter { nearest, bilinear, bicubic, lanczos };

/// What the model takes.
struct Contract {
  int height = 0;
  int width = 0;
  int channels = 0;       ///< 3 for RGB, 1 for grey.
  bool is_float = false;  ///< float32 instead of uint8; the values are 0 to 255 in both.
  Crop crop = Crop::square;
  int crop_side = 0;  ///< For Crop::pixels.
  int picture = 0;    ///< Shorter side of the pictures that the crop is cut from; 0 where their scale is not known.
  Filter resize = Filter::lanczos;
  int white = 0;  ///< Value of white in pictures of 16 bits a channel; 0 refuses them.
};

/// height × width × channels values, row by row.
struct Picture {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
};

struct Prediction {
  std::size_t index = 0;  ///< Of the likeliest class.
  std::string label;
  std::vector<float> probabilities;  ///< Of each class: calibrated where the bundle has an acceptance rule.
  std::optional<bool> accepted;      ///< Whether to rely on the answer; empty where the bundle has no such rule.
  double preparing_ms = 0;           ///< From the file, or the pixels, to the model's input.
  double model_ms = 0;
};

/// Answers beside those of the float32 Keras network.
struct Parity {
  std::size_t count = 0;
  double top1_agreement = 0;
  double max_abs_diff = 0;
  double mean_abs_diff = 0;
  std::string violations;  ///< What leaves the limits of the bundle's form; empty where all hold.
};

/// What became of conformance vectors (`bctk vectors`).
struct Conformance {
  std::size_t cases = 0;
  std::size_t prepared = 0;  ///< Pictures of which each value of the model's input is right.
  std::size_t refused = 0;   ///< Pictures that were refused and are to be.
  std::size_t answers = 0;   ///< Answers of the same model that were compared.
  std::size_t labels = 0;    ///< Of these, with the same likeliest class.
  double max_abs_diff = 0;
  std::vector<std::string> differences;  ///< A line for each case that is otherwise.
};

struct Options {
  int threads = 0;        ///< Of the engine; 0 for the CPUs at hand, at most four.
  bool self_test = true;  ///< Ask up to ten golden images before the first answer.
};

/// A bundle, opened. Several threads may use one; their calls take turns.
class Classifier {
 public:
  /// Checks every file of the bundle's folder against its hash, opens the model and tests it.
  /// @throws Error No bundle, damaged, too new, of an engine that was not built in; or the self-test failed.
  explicit Classifier(const std::string& bundle, const Options& options = {});
  ~Classifier();
  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;

  /// Classifies a JPEG or PNG file.
  /// @throws Error No such file, or a picture that the contract does not take.
  Prediction classify(const std::string& file) const;

  /// Classifies pixels, e.g. a camera's RGB frame: height × width × channels values of 8 bits.
  Prediction classify(const Picture& picture) const;

  /// The model's input for a file: decoded, turned upright, cropped, resized.
  Picture prepare(const std::string& file) const;

  /// What the model itself answers to a prepared picture, not calibrated.
  std::vector<float> raw_probabilities(const Picture& prepared) const;

  /// Asks all golden images, as `bctk verify` does.
  Parity verify() const;

  /// Compares pictures and answers with those in a folder that `bctk vectors` wrote.
  Conformance check_vectors(const std::string& folder) const;

  const std::string& name() const;
  const Contract& contract() const;
  const std::vector<std::string>& labels() const;

  /// The engine, its version and threads.
  const std::string& engine() const;

 private:
  class Opened;
  std::unique_ptr<Opened> opened_;
};

}  // namespace bctoolkit

#endif
