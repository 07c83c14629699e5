// ONNX bundles on ONNX Runtime, by its C API.

#ifdef BCTOOLKIT_ONNXRUNTIME
#include <onnxruntime_c_api.h>

#include <cstdlib>

namespace bctoolkit {
namespace {

const OrtApi& ort() {
  static const OrtApi* const api = [] {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // else 1.32 for Linux writes a device id and looks up a host
    return OrtGetApiBase()->GetApi(ORT_API_VERSION);
  }();
  if (api == nullptr) {
    throw Error(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() + " is older than the headers that this app was built with (API " +
                std::to_string(ORT_API_VERSION) + "); install a later one");
  }
  return *api;
}

void require_done(OrtStatus* status, const char* what) {
  if (status == nullptr) return;
  const std::string reason = shown(ort().GetErrorMessage(status));
  ort().ReleaseStatus(status);
  throw Error(std::string(what) + ": " + reason);
}

/// Releases what the API hands out.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

template <typename T>
Owned<T> owned(T* thing, void (*release)(T*)) {
  return Owned<T>(thing, release);
}

const OrtEnv& environment() {
  static const OrtEnv* const env = [] {
    OrtEnv* made = nullptr;
    require_done(ort().CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bctoolkit", &made), "ONNX Runtime cannot start");
    return made;
  }();
  return *env;
}

class OnnxRuntime : public Engine {
 public:
  OnnxRuntime(const Bytes& model, const Ports& ports, int threads) : ports_(ports), session_(open(model, threads, false)) {
    if (property("int16_saturation") != "none" && saturates()) session_ = open(model, threads, true);
    require_ports();
    name_ = std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString();
    OrtMemoryInfo* memory = nullptr;
    require_done(ort().CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), cannot_run);
    memory_ = owned(memory, ort().ReleaseMemoryInfo);
  }

  std::vector<float> run(const void* image) override {
    const bool is_float = ports_.is_float;
    const std::size_t bytes = std::size_t(ports_.input[1] * ports_.input[2] * ports_.input[3]) * (is_float ? sizeof(float) : 1);
    const auto type = is_float ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    OrtValue* value = nullptr;
    require_done(ort().CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void*>(image), bytes, ports_.input.data(), ports_.input.size(), type, &value), cannot_run);
    const auto input = owned(value, ort().ReleaseValue);
    return answer(input.get());
  }

  std::string property(const std::string& key) override {
    OrtModelMetadata* found = nullptr;
    require_done(ort().SessionGetModelMetadata(session_.get(), &found), "the model's properties cannot be read");
    const auto metadata = owned(found, ort().ReleaseModelMetadata);
    char* text = nullptr;
    require_done(ort().ModelMetadataLookupCustomMetadataMap(metadata.get(), allocator(), key.c_str(), &text), "the model's properties cannot be read");
    return taken(text);
  }

  std::string name() const override { return name_; }

 private:
  static constexpr const char* cannot_open = "ONNX Runtime cannot open the model";
  static constexpr const char* cannot_run = "ONNX Runtime failed at this image";

  static OrtAllocator* allocator() {
    OrtAllocator* found = nullptr;
    require_done(ort().GetAllocatorWithDefaultOptions(&found), "ONNX Runtime has no memory");
    return found;
  }

  /// Text that the API has allocated; empty where there is none.
  static std::string taken(char* text) {
    if (text == nullptr) return {};
    const std::string copy = text;
    require_done(ort().AllocatorFree(allocator(), text), "ONNX Runtime has no memory");
    return copy;
  }

  /// @param is_exact Whether integer products are to be added up exactly, where they saturate otherwise.
  static Owned<OrtSession> open(const Bytes& model, int threads, bool is_exact) {
    OrtSessionOptions* made = nullptr;
    require_done(ort().CreateSessionOptions(&made), cannot_open);
    const auto options = owned(made, ort().ReleaseSessionOptions);
    require_done(ort().SetIntraOpNumThreads(options.get(), threads), cannot_open);
    require_done(ort().SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_ERROR), cannot_open);
    if (is_exact) require_done(ort().AddSessionConfigEntry(options.get(), "session.x64quantprecision", "1"), cannot_open);
    OrtSession* session = nullptr;
    require_done(ort().CreateSessionFromArray(&environment(), model.data(), model.size(), options.get(), &session), cannot_open);
    return owned(session, ort().ReleaseSession);
  }

  /// Whether this CPU saturates integer products: tested with four of 255 and 127.
  static bool saturates() {
    const Bytes model(std::begin(saturation_probe), std::end(saturation_probe));
    const Owned<OrtSession> session = open(model, 1, false);
    OrtMemoryInfo* made = nullptr;
    require_done(ort().CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &made), cannot_run);
    const auto memory = owned(made, ort().ReleaseMemoryInfo);
    std::uint8_t ones[4] = {255, 255, 255, 255};
    const std::int64_t shape[] = {1, 4};
    OrtValue* value = nullptr;
    require_done(ort().CreateTensorWithDataAsOrtValue(memory.get(), ones, sizeof ones, shape, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &value), cannot_run);
    const auto input = owned(value, ort().ReleaseValue);
    const char *in = "x", *out = "y";
    const OrtValue* inputs[] = {input.get()};
    OrtValue* result = nullptr;
    require_done(ort().Run(session.get(), nullptr, &in, inputs, 1, &out, 1, &result), cannot_run);
    const auto output = owned(result, ort().ReleaseValue);
    void* total = nullptr;
    require_done(ort().GetTensorMutableData(output.get(), &total), cannot_run);
    return *static_cast<const std::int32_t*>(total) != 4 * 255 * 127;
  }

  using GetTypeInfo = OrtStatus* (*)(const OrtSession*, std::size_t, OrtTypeInfo**);

  bool has(GetTypeInfo get, const std::vector<std::int64_t>& wanted, ONNXTensorElementDataType type) const {
    OrtTypeInfo* found = nullptr;
    require_done(get(session_.get(), 0, &found), cannot_open);
    const auto info = owned(found, ort().ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;
    require_done(ort().CastTypeInfoToTensorInfo(info.get(), &tensor), cannot_open);
    if (tensor == nullptr) return false;
    ONNXTensorElementDataType kind{};
    require_done(ort().GetTensorElementType(tensor, &kind), cannot_open);
    std::size_t rank = 0;
    require_done(ort().GetDimensionsCount(tensor, &rank), cannot_open);
    std::vector<std::int64_t> shape(rank);
    require_done(ort().GetDimensions(tensor, shape.data(), rank), cannot_open);
    return kind == type && fits(shape, wanted);
  }

  void require_ports() {
    std::size_t inputs = 0, outputs = 0;
    require_done(ort().SessionGetInputCount(session_.get(), &inputs), cannot_open);
    require_done(ort().SessionGetOutputCount(session_.get(), &outputs), cannot_open);
    const auto type = ports_.is_float ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    require_fits(inputs == 1 && has(ort().SessionGetInputTypeInfo, ports_.input, type), "input");
    require_fits(outputs == 1 && has(ort().SessionGetOutputTypeInfo, ports_.output, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT), "output");
    char* name = nullptr;
    require_done(ort().SessionGetInputName(session_.get(), 0, allocator(), &name), cannot_open);
    input_ = taken(name);
    require_done(ort().SessionGetOutputName(session_.get(), 0, allocator(), &name), cannot_open);
    output_ = taken(name);
  }

  std::vector<float> answer(const OrtValue* input) {
    const char *in = input_.c_str(), *out = output_.c_str();
    OrtValue* result = nullptr;
    require_done(ort().Run(session_.get(), nullptr, &in, &input, 1, &out, 1, &result), cannot_run);
    const auto output = owned(result, ort().ReleaseValue);
    OrtTensorTypeAndShapeInfo* found = nullptr;
    require_done(ort().GetTensorTypeAndShape(output.get(), &found), cannot_run);
    const auto info = owned(found, ort().ReleaseTensorTypeAndShapeInfo);
    std::size_t count = 0;
    require_done(ort().GetTensorShapeElementCount(info.get(), &count), cannot_run);
    require_fits(count == static_cast<std::size_t>(ports_.output[1]), "answer");
    void* values = nullptr;
    require_done(ort().GetTensorMutableData(output.get(), &values), cannot_run);
    return std::vector<float>(static_cast<const float*>(values), static_cast<const float*>(values) + count);
  }

  Ports ports_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_{nullptr, nullptr};
  std::string name_, input_, output_;
};

}  // namespace
}  // namespace bctoolkit
#endif
