import Lamina
import Synchronization

/// How far long work has come: a bar on a terminal, one line a stage in a pipe.
final class Progress: Sendable {
  private let stage: String
  private let total: Int
  private let done = Mutex(0)

  /// Starts a stage of `total` steps.
  init(_ stage: String, total: Int = 1) {
    self.stage = stage
    self.total = max(total, 1)
    if Terminal.isWatched { draw(0) } else { Terminal.report(stage) }
  }

  /// One more step is done.
  @Sendable func advance() {
    done.withLock { done in
      let before = done * 100 / total
      done = min(done + 1, total)
      let percent = done * 100 / total
      if percent != before && Terminal.isWatched { draw(percent) }
    }
  }

  /// Takes the bar away.
  func finish() {
    if Terminal.isWatched { Terminal.draw("\r\u{1B}[K") }
  }

  private func draw(_ percent: Int) {
    let filled = percent * 30 / 100
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
    Terminal.draw("\r\u{1B}[K\(stage)  [\(bar)] \(percent) %")
  }
}

/// A bar for each stage of long work whose stages are not known before.
final class StageBars: Sendable {
  private let current = Mutex<(stage: String, bar: Progress, done: Int)?>(nil)

  /// `done` of `total` steps of a stage are done.
  func show(_ stage: String, _ done: Int, of total: Int) {
    current.withLock { current in
      if current?.stage != stage {
        current?.bar.finish()
        current = (stage, Progress(stage, total: total), 0)
      }
      guard let (_, bar, before) = current, before < done else { return }
      for _ in before..<done { bar.advance() }
      current?.done = done
    }
  }

  /// Takes the last bar away.
  func finish() { current.withLock { $0?.bar.finish() } }
}
