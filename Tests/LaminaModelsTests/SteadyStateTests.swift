import AllocationCounter
import Lamina
import LaminaTestSupport
import Testing

@Suite struct SteadyStateTests {
  /// Unoptimised Swift boxes what optimised Swift does not.
  static let isOptimized: Bool = {
    #if DEBUG
      false
    #else
      true
    #endif
  }()

  @Test(
    .enabled(if: isOptimized, "skipped: only an optimised build allocates nothing"),
    arguments: ["resnet18", "cifar_resnet20", "efficientnet_lite0", "lenet5", "mnist_cnn"])
  func runsOfKnownShapesAllocateNothing(name: String) throws {
    let model = try ModelCatalog.entry(named: name).makeModel(registry: .standard)
    let session = try Session(model: model, pool: ThreadPool(threads: 1))
    let input = try Tensor(zeros: try model.graph.inputs[0].defaultSpec().shape)
    let views = [input.view]
    var sum = try session.withOutputs(of: views) { $0[0].floats[0] }
    let before = allocation_count_of_this_thread()
    for _ in 0..<3 { sum += try session.withOutputs(of: views) { $0[0].floats[0] } }
    #expect(allocation_count_of_this_thread() == before)
    #expect(sum.isFinite)
  }
}
