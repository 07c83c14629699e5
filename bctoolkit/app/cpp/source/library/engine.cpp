// The one seam between a classifier and an inference engine. Which engines are built in, CMakeLists.txt decides.

#include <thread>

namespace bctoolkit {
namespace {

/// An opened model: one image in, one probability per class out.
class Engine {
 public:
  virtual ~Engine() = default;
  /// @param image Values in the contract's type.
  virtual std::vector<float> run(const void* image) = 0;
  /// What the model file says of itself; empty where it says nothing.
  virtual std::string property(const std::string& key) = 0;
  /// The engine and its version.
  virtual std::string name() const = 0;
};

/// What a model has to take and give.
struct Ports {
  std::vector<std::int64_t> input, output;  ///< Shapes; the first axis is the batch.
  bool is_float = false;
};

Ports ports_of(const Contract& contract, std::size_t classes) {
  return {{1, contract.height, contract.width, contract.channels}, {1, static_cast<std::int64_t>(classes)}, contract.is_float};
}

/// Whether a shape with open axes, which are below 1, can be another.
bool fits(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& wanted) {
  return found.size() == wanted.size() && std::equal(found.begin(), found.end(), wanted.begin(), [](std::int64_t each, std::int64_t other) {
           return each < 1 || each == other;
         });
}

void require_fits(bool does_fit, const char* role) {
  if (!does_fit) throw Error(std::string("the model's ") + role + " is not what the manifest says; export it again");
}

int default_threads() { return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 4u)); }

}  // namespace
}  // namespace bctoolkit
