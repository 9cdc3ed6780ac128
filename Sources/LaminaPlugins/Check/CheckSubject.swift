import CLamina
import LaminaCore
import Synchronization

/// What a case tries: a layer class of a plugin that this process loaded.
struct CheckSubject {
  let plugin: Plugin
  let layerClass: PluginLayerClass
  let check: PluginCheck

  /// The layer class as the only kind.
  var registry: LayerRegistry {
    var registry = LayerRegistry()
    registry.replace(layerClass.definition)
    return registry
  }

  /// Makes a layer as a graph does; by default with the attributes of the check.
  func make(_ attributes: Attributes? = nil) throws -> PluginLayer {
    let made = try registry.makeLayer(layerClass.kind, attributes ?? check.attributes).layer
    guard let layer = made as? PluginLayer else {
      throw LaminaError(.internal, "expected a layer of the plugin, found \(type(of: made))")
    }
    return layer
  }

  /// The layer, for cases that are not about making it.
  func layer() throws -> PluginLayer {
    do { return try make() } catch is LaminaError { throw DoesNotApply("no layer is made") }
  }

  /// Shapes of a first input, the usual one first.
  static let shapes: [Shape] = [
    [2, 3, 4, 5], [2, 4, 6, 6], [1, 16, 7, 5], [2, 8, 5, 7], [1, 64, 4, 4], [1, 3, 32, 32], [3, 5],
    [2, 6], [2, 3, 4], [1, 8, 9], [6], [1, 2, 3, 4, 5], [2, 2, 3, 2, 4],
  ]

  /// Number of inputs to try.
  var inputCount: Int {
    let arity = layerClass.definition.arity
    return min(max(arity.lowerBound, 1), arity.upperBound)
  }

  /// Lists of inputs to try.
  var candidates: [[TensorSpec]] {
    if let inputs = check.inputs { return [inputs.map { TensorSpec($0) }] }
    return [ElementType.float32, .int64, .uint8].flatMap { type in
      Self.shapes.map { [TensorSpec](repeating: TensorSpec($0, type), count: inputCount) }
    }
  }

  /// What a layer makes of the first lists of inputs that it accepts, of one type of elements.
  func trials(_ count: Int = 3) throws -> [Trial] {
    let layer = try layer()
    var trials: [Trial] = []
    for inputs in candidates where trials.count < count {
      guard let trial = try? Trial(layer, inputs, seed: check.seed),
        trials.first.map({ $0.inputs.first?.type == inputs.first?.type }) ?? true
      else { continue }
      trials.append(trial)
    }
    guard !trials.isEmpty else { throw DoesNotApply("no inputs are accepted") }
    return trials
  }

  /// The first of them.
  func trial() throws -> Trial { try trials(1)[0] }

  /// The same for a layer that can be trained through.
  func trainedTrials(_ count: Int = 2) throws -> [Trial] {
    guard layerClass.table.backward != nil else { throw DoesNotApply("there is no backward") }
    return try trials(count)
  }

  /// Calls `body`; what it refuses must be refused with a text.
  ///
  /// - Returns: the refusal; nil when there was none.
  @discardableResult
  func refusal(_ body: () throws -> Void) throws -> LaminaError? {
    do {
      try body()
      return nil
    } catch let error as LaminaError {
      let text = error.message
      let breaksRule = text.contains("of plugin '\(plugin.id)'")
      guard !breaksRule, !text.contains("\n"), !text.contains("\u{FFFD}") else {
        throw breaksRule
          ? error
          : LaminaError(
            .format, "expected one line of UTF-8 as an error, found '\(text.escapedForDisplay())'")
      }
      return error
    }
  }
}

/// Calls `body` on several threads at once, and throws what the first of them throws.
func concurrently(_ count: Int, _ body: @Sendable (Int) throws -> Void) throws {
  let failures = FailureBox()
  ThreadPool(threads: count).parallelFor(count) { index in
    do { try body(index) } catch { failures.add(error) }
  }
  try failures.rethrow()
}

/// What several threads throw.
private final class FailureBox: Sendable {
  private let first = Mutex<(any Error)?>(nil)

  func add(_ error: any Error) { first.withLock { $0 = $0 ?? error } }

  func rethrow() throws { if let error = first.withLock({ $0 }) { throw error } }
}
