import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct ScheduleTests {
  private func factors(_ schedule: any Schedule, steps: [Int], perEpoch: Int = 10, epochs: Int = 10)
    -> [Double]
  {
    steps.map {
      schedule.factor(
        at: TrainingTime(step: $0, epoch: $0 / perEpoch, stepsPerEpoch: perEpoch, epochs: epochs))
    }
  }

  private func expect(
    _ found: [Double], _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(found.count == expected.count, sourceLocation: sourceLocation)
    for (found, expected) in zip(found, expected) {
      #expect(abs(found - expected) < 1e-12, sourceLocation: sourceLocation)
    }
  }

  @Test func schedulesFollowTheirFormulas() {
    expect(factors(ConstantSchedule(), steps: [0, 99]), [1, 1])
    expect(
      factors(StepSchedule(every: 3), steps: [0, 29, 30, 59, 60, 90]),
      [1, 1, 0.1, 0.1, 0.01, 0.001])
    expect(
      factors(MultiStepSchedule(milestones: [2, 5], gamma: 0.5), steps: [19, 20, 49, 50]),
      [1, 0.5, 0.5, 0.25])
    expect(factors(ExponentialSchedule(gamma: 0.9), steps: [9, 10, 25]), [1, 0.9, 0.81])
    expect(
      factors(CosineSchedule(lowest: 0.2), steps: [0, 25, 50, 100, 120]),
      [1, 0.2 + 0.4 * (1 + cos(.pi / 4)), 0.6, 0.2, 0.2])
    expect(
      factors(CosineSchedule(isByEpoch: true), steps: [9, 55, 99]),
      [1, 0.5, (1 + cos(0.9 * .pi)) / 2])
    expect(
      factors(OneCycleSchedule(), steps: [0, 25, 100]), [1 / 25, 1, 1e-5])
    expect(
      factors(OneCycleSchedule(risingShare: 0.5), steps: [25, 75]), [0.52, (1 + 1e-5) / 2])
    expect(
      factors(
        WarmUpSchedule(steps: 4, start: 0.2, then: StepSchedule(every: 1)), steps: [0, 1, 4, 10]),
      [0.2, 0.4, 1, 0.1])
    expect(factors(InverseTimeSchedule(decay: 0.01), steps: [0, 1, 100]), [1, 1 / 1.01, 0.5])
  }
}
