import Lamina

/// What the process exits with. Scripts rely on the numbers.
enum ExitStatus: Int32 {
  case done = 0
  case failure = 1
  case usage = 2
  case badFile = 3
  case resources = 4
  case interrupted = 130

  /// The status of an error of the library: most of what can go wrong is in a file that the user named.
  init(_ error: LaminaError) {
    switch error.code {
    case .argument, .shape, .notFound, .format, .unsupported, .graph, .weights, .image, .io:
      self = .badFile
    case .limit: self = .resources
    case .cancelled: self = .interrupted
    case .handle, .state, .buffer, .busy, .forked, .internal: self = .failure
    }
  }
}
