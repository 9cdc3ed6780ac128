import LaminaCore

/// What the loss is while the learning rate rises from step to step, and which rate that speaks for.
///
/// Smith 2017, arxiv.org/abs/1506.01186, with the defaults and the choice ("valley") of fastai's `lr_find`.
public struct LearningRateSearch: Sendable {
  /// Rates with the loss behind them: an average of those so far that forgets 2 per cent at each step.
  public let points: [(rate: Double, loss: Double)]
  /// Those of them that tell something: without the first tenth of the steps and the last five points, where the loss
  /// may have left all bounds.
  public let telling: [(rate: Double, loss: Double)]
  /// The rate in the middle of the longest fall of these; nil when there are too few.
  public let suggestion: Double?

  /// Trains a copy of a model, which stays as it is.
  ///
  /// - Parameters:
  ///   - options: as the training will have them; its schedule, epochs and checkpoints do not count.
  ///   - first: the lowest rate.
  ///   - last: the highest rate. The search ends before when the loss is above four times the least so far.
  ///   - onStep: is called behind each step with its number; returns whether to go on.
  /// - Throws: what `Trainer` throws; `cancelled`.
  public init(
    model: Model, data: any TrainingData, options: TrainerOptions,
    training: TrainingOptions = TrainingOptions(), from first: Double = 1e-7,
    to last: Double = 10, steps: Int = 100, pool: ThreadPool? = nil,
    onStep: ((Int) -> Bool)? = nil
  ) throws {
    guard first > 0, first < last, last.isFinite, steps > 1 else {
      throw LaminaError(
        .argument, "expected rates above 0 that rise in 2 steps or more, found \(first) to \(last)")
    }
    var options = options
    options.optimizer.learningRate = 1
    options.schedule = GeometricSchedule(from: first, to: last, steps: steps)
    options.checkpoints = nil
    options.averageDecay = nil
    options.accumulatedBatches = 1
    options.nonFinite = .stop
    options.epochs = steps
    let recorder = Recorder(steps: steps)
    let trainer = try Trainer(
      model: model, data: data, options: options, training: training, callbacks: [recorder],
      pool: pool)
    do {
      let ending = try trainer.fit { _ in onStep?(recorder.points.count) ?? true }
      if ending == .cancelled { throw LaminaError(.cancelled, "the search was stopped") }
    } catch let error as LaminaError where error.code == .state {
      // Weights that overflow end the search as a loss that does.
    }
    points = recorder.points
    telling = Array(points.dropFirst(steps / 10).dropLast(5))
    suggestion = LearningRateSearch.valley(telling)
  }

  /// The rule by which the rate is suggested, in a line.
  public static let rule = "valley: the middle of the longest fall of the smoothed loss"

  /// The points that tell something as SVG, complete in itself, with a mark at the suggestion.
  public var svg: String {
    LineChart(
      title: "Loss by learning rate", axis: "learning rate",
      lines: [
        LineChart.Line(name: "loss", color: "a", pieces: [telling.map { ($0.rate, $0.loss) }])
      ],
      isLogarithmic: true, marks: suggestion.map { [($0, "suggested")] } ?? []
    ).svg(standsAlone: true)
  }

  private final class Recorder: TrainingCallback {
    private let steps: Int
    private var average = 0.0
    private var least = Double.infinity
    var points: [(rate: Double, loss: Double)] = []

    init(steps: Int) { self.steps = steps }

    func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
      guard let loss = logs["loss"], loss.isFinite, let rate = logs["learning_rate"] else { return }
      average = 0.98 * average + 0.02 * loss
      let smooth = average / (1 - power(0.98, Double(points.count + 1)))
      points.append((rate, smooth))
      least = min(least, smooth)
      if points.count == steps || smooth > 4 * least { trainer.stop(by: "LearningRateSearch") }
    }
  }

  /// The point at half of the longest falling subsequence.
  static func valley(_ points: [(rate: Double, loss: Double)]) -> Double? {
    guard points.count > 2 else { return nil }
    var lengths = [Int](repeating: 1, count: points.count)
    for index in points.indices {
      for before in 0..<index where points[index].loss < points[before].loss {
        lengths[index] = max(lengths[index], lengths[before] + 1)
      }
    }
    let longest = lengths.max() ?? 1
    let end = lengths.firstIndex(of: longest) ?? 0
    let start = max(end - longest, 0)
    let third = (end - start) / 3
    return points[min(start + third + third / 2, points.count - 1)].rate
  }
}
