// TFLite bundles on LiteRT, by the C API that libLiteRt exports. No package brings its headers, so what is needed is
// declared here as LiteRT 2.2 and 2.3 have it. Before the first call it is asked whether the library is such a one;
// what it answers to golden images shows the rest.

#ifdef BCTOOLKIT_LITERT
extern "C" {
using LiteRtStatus = int;  // 0 is success
struct LiteRtEnvironmentT;
struct LiteRtModelT;
struct LiteRtSignatureT;
struct LiteRtTensorT;
struct LiteRtOptionsT;
struct LiteRtOpaqueOptionsT;
struct LiteRtCompiledModelT;
struct LiteRtTensorBufferT;
struct LiteRtTensorBufferRequirementsT;

struct LiteRtTensorType {
  int element;  // numbered as TfLiteType
  unsigned rank : 7;
  bool has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
struct LiteRtScale {
  float scale;
  std::int64_t zero_point;
};

struct LiteRtEnvironmentOption {
  int tag;
  struct {
    int kind;
    std::int64_t number;
  } value;
};

LiteRtStatus LiteRtCreateEnvironment(int, const LiteRtEnvironmentOption*, LiteRtEnvironmentT**);
void LiteRtDestroyEnvironment(LiteRtEnvironmentT*);
LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnvironmentT*, const void*, std::size_t, LiteRtModelT**);
void LiteRtDestroyModel(LiteRtModelT*);
LiteRtStatus LiteRtGetModelMetadata(LiteRtModelT*, const char*, const void**, std::size_t*);
LiteRtStatus LiteRtGetModelSignature(LiteRtModelT*, std::size_t, LiteRtSignatureT**);
LiteRtStatus LiteRtGetNumSignatureInputs(LiteRtSignatureT*, std::size_t*);
LiteRtStatus LiteRtGetNumSignatureOutputs(LiteRtSignatureT*, std::size_t*);
LiteRtStatus LiteRtGetSignatureInputTensorByIndex(LiteRtSignatureT*, std::size_t, LiteRtTensorT**);
LiteRtStatus LiteRtGetSignatureOutputTensorByIndex(LiteRtSignatureT*, std::size_t, LiteRtTensorT**);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensorT*, LiteRtTensorType*);
LiteRtStatus LiteRtGetPerTensorQuantization(LiteRtTensorT*, LiteRtScale*);
LiteRtStatus LiteRtCreateOptions(LiteRtOptionsT**);
void LiteRtDestroyOptions(LiteRtOptionsT*);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptionsT*, int);
LiteRtStatus LiteRtCreateOpaqueOptions(const char*, void*, void (*)(void*), LiteRtOpaqueOptionsT**);
LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptionsT*, LiteRtOpaqueOptionsT*);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironmentT*, LiteRtModelT*, LiteRtOptionsT*, LiteRtCompiledModelT**);
void LiteRtDestroyCompiledModel(LiteRtCompiledModelT*);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModelT*, std::size_t, std::size_t, LiteRtTensorBufferRequirementsT**);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModelT*, std::size_t, std::size_t, LiteRtTensorBufferRequirementsT**);
LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironmentT*, const LiteRtTensorType*, LiteRtTensorBufferRequirementsT*, LiteRtTensorBufferT**);
void LiteRtDestroyTensorBuffer(LiteRtTensorBufferT*);
LiteRtStatus LiteRtGetTensorBufferSize(LiteRtTensorBufferT*, std::size_t*);
LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBufferT*, void**, int);
LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBufferT*);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModelT*, std::size_t, std::size_t, LiteRtTensorBufferT**, std::size_t, LiteRtTensorBufferT**);
// Came with 2.2, as the environment that a model is opened in; absent from earlier libraries.
__attribute__((weak)) LiteRtStatus LiteRtRunCompiledModelWithSchedulingInfo(LiteRtCompiledModelT*, ...);
}

namespace bctoolkit {
namespace {

static_assert(sizeof(LiteRtTensorType) == 72 && sizeof(LiteRtScale) == 16 && sizeof(LiteRtEnvironmentOption) == 24, "as LiteRT lays them out");

void require_litert(LiteRtStatus status, const char* what) {
  if (status != 0) throw Error(std::string(what) + ": LiteRT's status " + std::to_string(status));
}

class LiteRt : public Engine {
 public:
  LiteRt(Bytes model, const Ports& ports, int threads) : content_(std::move(model)), ports_(ports) {
    if (LiteRtRunCompiledModelWithSchedulingInfo == nullptr) throw Error("this libLiteRt is older than 2.2; install ai-edge-litert 2.3");
    const LiteRtEnvironmentOption settings[] = {{accelerators, {whole_number, cpu}}, {least_severity, {whole_number, silent}}};
    LiteRtEnvironmentT* environment = nullptr;
    require_litert(LiteRtCreateEnvironment(2, settings, &environment), "LiteRT cannot start");
    environment_.reset(environment);
    LiteRtModelT* opened = nullptr;
    require_litert(LiteRtCreateModelFromBuffer(environment, content_.data(), content_.size(), &opened), cannot_open);
    model_.reset(opened);
    require_ports();
    compile(threads);
    input_ = buffer(input_type_, LiteRtGetCompiledModelInputBufferRequirements);
    output_ = buffer(output_type_, LiteRtGetCompiledModelOutputBufferRequirements);
  }

  std::vector<float> run(const void* image) override {
    const std::size_t bytes = std::size_t(ports_.input[1] * ports_.input[2] * ports_.input[3]) * (ports_.is_float ? sizeof(float) : 1);
    std::memcpy(locked(input_.get(), bytes, write_lock), image, bytes);
    require_litert(LiteRtUnlockTensorBuffer(input_.get()), cannot_run);
    LiteRtTensorBufferT *inputs[] = {input_.get()}, *outputs[] = {output_.get()};
    require_litert(LiteRtRunCompiledModel(compiled_.get(), 0, 1, inputs, 1, outputs), cannot_run);
    const auto classes = static_cast<std::size_t>(ports_.output[1]);
    const void* values = locked(output_.get(), classes * size_of_element(), read_lock);
    std::vector<float> answer;
    for (std::size_t i = 0; i < classes; ++i) answer.push_back(value_at(values, i));
    require_litert(LiteRtUnlockTensorBuffer(output_.get()), cannot_run);
    return answer;
  }

  std::string property(const std::string& key) override {
    const void* text = nullptr;
    std::size_t size = 0;
    if (LiteRtGetModelMetadata(model_.get(), key.c_str(), &text, &size) != 0 || text == nullptr) return {};
    return std::string(static_cast<const char*>(text), size);
  }

  std::string name() const override { return "LiteRT"; }

 private:
  static constexpr const char* cannot_open = "LiteRT cannot open the model";
  static constexpr const char* cannot_run = "LiteRT failed at this image";
  static constexpr int float32 = 1, uint8 = 3, int16 = 7, int8 = 9, cpu = 1, read_lock = 0, write_lock = 1;
  static constexpr int accelerators = 24, least_severity = 25, whole_number = 2, silent = 4;

  template <typename T, void (*destroy)(T*)>
  struct Destroy {
    void operator()(T* thing) const { destroy(thing); }
  };
  template <typename T, void (*destroy)(T*)>
  using Handle = std::unique_ptr<T, Destroy<T, destroy>>;
  using Buffer = Handle<LiteRtTensorBufferT, LiteRtDestroyTensorBuffer>;

  static std::vector<std::int64_t> shape_of_type(const LiteRtTensorType& type) {
    return std::vector<std::int64_t>(type.dimensions, type.dimensions + std::min(type.rank, 8u));
  }

  void require_ports() {
    LiteRtSignatureT* signature = nullptr;
    require_litert(LiteRtGetModelSignature(model_.get(), 0, &signature), cannot_open);
    std::size_t inputs = 0, outputs = 0;
    require_litert(LiteRtGetNumSignatureInputs(signature, &inputs), cannot_open);
    require_litert(LiteRtGetNumSignatureOutputs(signature, &outputs), cannot_open);
    require_fits(inputs == 1, "input");
    require_fits(outputs == 1, "output");
    LiteRtTensorT *input = nullptr, *output = nullptr;
    require_litert(LiteRtGetSignatureInputTensorByIndex(signature, 0, &input), cannot_open);
    require_litert(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &output), cannot_open);
    require_litert(LiteRtGetRankedTensorType(input, &input_type_), cannot_open);
    require_litert(LiteRtGetRankedTensorType(output, &output_type_), cannot_open);
    require_fits(input_type_.element == (ports_.is_float ? float32 : uint8) && fits(shape_of_type(input_type_), ports_.input), "input");
    const int element = output_type_.element;
    const bool is_integer = element == uint8 || element == int8 || element == int16;
    require_fits((element == float32 || is_integer) && fits(shape_of_type(output_type_), ports_.output), "output");
    if (is_integer) require_litert(LiteRtGetPerTensorQuantization(output, &scale_), cannot_open);
  }

  void compile(int threads) {
    LiteRtOptionsT* made = nullptr;
    require_litert(LiteRtCreateOptions(&made), cannot_open);
    const Handle<LiteRtOptionsT, LiteRtDestroyOptions> options(made);
    require_litert(LiteRtSetOptionsHardwareAccelerators(made, cpu), cannot_open);
    threads_ = "num_threads = " + std::to_string(threads) + "\n";
    LiteRtOpaqueOptionsT* details = nullptr;
    require_litert(LiteRtCreateOpaqueOptions("xnnpack", threads_.data(), [](void*) {}, &details), cannot_open);
    require_litert(LiteRtAddOpaqueOptions(made, details), cannot_open);  // which owns them from here on
    LiteRtCompiledModelT* compiled = nullptr;
    require_litert(LiteRtCreateCompiledModel(environment_.get(), model_.get(), made, &compiled), cannot_open);
    compiled_.reset(compiled);
  }

  template <typename GetRequirements>
  Buffer buffer(const LiteRtTensorType& type, GetRequirements get) const {
    LiteRtTensorBufferRequirementsT* requirements = nullptr;
    require_litert(get(compiled_.get(), 0, 0, &requirements), cannot_open);
    LiteRtTensorBufferT* made = nullptr;
    require_litert(LiteRtCreateManagedTensorBufferFromRequirements(environment_.get(), &type, requirements, &made), cannot_open);
    return Buffer(made);
  }

  static void* locked(LiteRtTensorBufferT* buffer, std::size_t bytes, int mode) {
    std::size_t size = 0;
    require_litert(LiteRtGetTensorBufferSize(buffer, &size), cannot_run);
    require_fits(size >= bytes, "memory");
    void* memory = nullptr;
    require_litert(LiteRtLockTensorBuffer(buffer, &memory, mode), cannot_run);
    return memory;
  }

  std::size_t size_of_element() const { return output_type_.element == float32 ? 4 : output_type_.element == int16 ? 2 : 1; }

  float value_at(const void* values, std::size_t i) const {
    const auto scaled = [&](int value) { return static_cast<float>(value - static_cast<int>(scale_.zero_point)) * scale_.scale; };
    switch (output_type_.element) {
      case uint8: return scaled(static_cast<const std::uint8_t*>(values)[i]);
      case int8: return scaled(static_cast<const std::int8_t*>(values)[i]);
      case int16: return scaled(static_cast<const std::int16_t*>(values)[i]);
      default: return static_cast<const float*>(values)[i];
    }
  }

  Bytes content_;  // which the model reads as long as it lives
  Ports ports_;
  std::string threads_;
  LiteRtTensorType input_type_{}, output_type_{};
  LiteRtScale scale_{};
  Handle<LiteRtEnvironmentT, LiteRtDestroyEnvironment> environment_;
  Handle<LiteRtModelT, LiteRtDestroyModel> model_;
  Handle<LiteRtCompiledModelT, LiteRtDestroyCompiledModel> compiled_;
  Buffer input_, output_;
};

}  // namespace
}  // namespace bctoolkit
#endif
