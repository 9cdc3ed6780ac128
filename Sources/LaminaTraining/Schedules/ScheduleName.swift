/// The schedules that need no numbers, by name, for command lines and other languages.
public enum ScheduleName: String, Sendable, CaseIterable {
  case constant, cosine
  case oneCycle = "one-cycle"

  /// The schedule with its usual numbers.
  public var schedule: any Schedule {
    switch self {
    case .constant: ConstantSchedule()
    case .cosine: CosineSchedule()
    case .oneCycle: OneCycleSchedule()
    }
  }
}
