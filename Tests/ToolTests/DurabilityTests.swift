import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Trainings that are interrupted, killed or have nowhere to write.
@Suite struct DurabilityTests {
  private static let train = [
    "train", "lenet5", "digits", "-o", "model", "--epochs", "3", "--batch", "8", "--augment",
    "--checkpoints", "saved", "--checkpoint-steps", "1", "--threads", "1",
  ]
  private static let finetune = [
    "finetune", "start", "digits", "-o", "model", "--head-epochs", "2", "--epochs", "2", "--batch",
    "8", "--checkpoints", "saved", "--checkpoint-steps", "1", "--threads", "1",
  ]

  private static func model(_ folder: TemporaryFolder, _ name: String = "model") throws -> Data {
    try Data(contentsOf: folder.url.appending(path: name))
  }

  /// The model that comes without interruption, and how long that takes.
  private static func whole(_ words: [String], in folder: TemporaryFolder) throws -> (
    model: Data, seconds: Double
  ) {
    let begin = ContinuousClock.now
    let outcome = try Tool.run(words, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let seconds = (ContinuousClock.now - begin) / .seconds(1)
    let result = try model(folder)
    try remove(["model", "saved"], in: folder)
    return (result, seconds)
  }

  /// A folder with pictures and a trained model to start from.
  private static func start() throws -> TemporaryFolder {
    let folder = try digits()
    let outcome = try Tool.run(
      "train", "lenet5", "digits", "-o", "start", "--epochs", "1", in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return folder
  }

  /// The newest checkpoint that a folder or one below it names; nil before the first.
  private static func newest(_ folder: TemporaryFolder) -> String? {
    ["saved/all", "saved/head", "saved"].lazy.compactMap { name in
      (try? String(contentsOfFile: folder.path("\(name)/LATEST"), encoding: .utf8)).map {
        "\(name)/\($0)"
      }
    }.first
  }

  /// Runs until a number of checkpoints came, then gets a signal. The status, and -1 for a signal that killed.
  /// One that ended before it got the signal begins anew and gets it a checkpoint earlier.
  private static func interrupt(
    _ words: [String], _ number: Int32, behind checkpoints: Int, in folder: TemporaryFolder
  ) throws -> Int32 {
    for attempt in 0..<50 {
      let process = try Tool.start(words, in: folder.url)
      var seen: Set<String> = []
      let deadline = ContinuousClock.now + .seconds(100)
      let wanted = max(checkpoints - attempt, 1)
      while seen.count < wanted, process.isRunning, ContinuousClock.now < deadline {
        if let name = newest(folder) { seen.insert(name) }
        usleep(500)
      }
      kill(process.processIdentifier, number)
      process.waitUntilExit()
      guard process.terminationReason == .exit else { return -1 }
      guard process.terminationStatus == 0 else { return process.terminationStatus }
      try remove(["model", "saved"], in: folder)
    }
    return 0
  }

  private static func remove(_ names: [String], in folder: TemporaryFolder) throws {
    for name in names { try FileManager.default.removeItem(at: folder.url.appending(path: name)) }
  }

  @Test(arguments: [SIGINT, SIGKILL], [train, finetune]) func resumeGivesTheSameBits(
    _ number: Int32, _ words: [String]
  ) throws {
    let folder = try Self.start()
    let whole = try Self.whole(words, in: folder).model
    for checkpoints in [1, 4, 9] {
      let status = try Self.interrupt(words, number, behind: checkpoints, in: folder)
      #expect(status == (number == SIGINT ? 130 : -1))
      // From another folder: the one in which the training began is known.
      let outcome = try Tool.run(
        "resume", folder.path("saved"), in: FileManager.default.temporaryDirectory)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try Self.model(folder) == whole)
      try Self.remove(["model", "saved"], in: folder)
    }
  }

  /// `LAMINA_KILLS=50 swift test -c release --filter killedAtAnyMoment` is the long form.
  @Test func killedAtAnyMomentItGoesOn() throws {
    let kills = ProcessInfo.processInfo.environment["LAMINA_KILLS"].flatMap { Int($0) } ?? 6
    let folder = try digits()
    let (whole, seconds) = try Self.whole(Self.train, in: folder)
    var moment = 0
    func begin(_ words: [String]) throws {
      let process = try Tool.start(words, in: folder.url)
      let random = CounterRandom(seed: 5, name: "moments").uniform(UInt64(moment))
      moment += 1
      usleep(UInt32(Double(random) * seconds * 1e6))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    var resumed = 0
    // On a busy machine all may come before the first checkpoint.
    while moment < kills || (resumed == 0 && moment < 100) {
      try begin(Self.train)
      var before = Self.newest(folder)
      let again = before == nil ? Self.train : ["resume", "saved"]
      // The one that goes on is killed too.
      if moment < kills { try begin(again) }
      if let earlier = before {
        resumed += 1
        #expect(try #require(Self.newest(folder)) >= earlier)
      }
      before = Self.newest(folder)
      let outcome = try Tool.run(before == nil ? Self.train : ["resume", "saved"], in: folder.url)
      #expect(outcome.status == 0, "moment \(moment): \(outcome.errors)")
      #expect(try Self.model(folder) == whole, "moment \(moment)")
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("saved"))
      #expect(!names.contains { $0.hasPrefix("checkpoint-") && $0.hasSuffix(".tmp") }, "\(names)")
      try FileManager.default.removeItem(at: folder.url.appending(path: "saved"))
      try? FileManager.default.removeItem(at: folder.url.appending(path: "model"))
    }
    #expect(resumed > 0)
  }

  @Test func whereNothingMoreFitsTheLastCheckpointStays() throws {
    let folder = try digits()
    let words = [
      "train", "lenet5", "digits", "-o", "model", "--batch", "8", "--checkpoints", "saved",
    ]
    let whole = try Self.whole(words + ["--epochs", "3"], in: folder).model
    let command = words.joined(separator: " ")
    func checkpoints() throws -> [String: Data] {
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("saved"))
      return try Dictionary(
        uniqueKeysWithValues: names.map { ($0, try Self.model(folder, "saved/\($0)")) })
    }
    #expect(try Tool.run(words + ["--epochs", "1"], in: folder.url).status == 0)
    let before = try checkpoints()
    // Files of more than 100 KiB do not fit; a checkpoint has more.
    let full = try Tool.shell("ulimit -f 200; exec lamina \(command) --epochs 3", in: folder.url)
    #expect(full.status == 3)
    #expect(
      full.errorLines.last
        == "lamina train: saved/checkpoint-000000000020.safetensors: file too large; checkpoint-000000000010.safetensors is kept"
    )
    let after = try checkpoints()
    #expect(after.filter { $0.key != "COMMAND" } == before.filter { $0.key != "COMMAND" })
    #expect(try Tool.run("resume", "saved", in: folder.url).status == 0)
    #expect(try Self.model(folder) == whole)
  }

  @Test func whatIsNoTrainingIsNotResumed() throws {
    let folder = try digits()
    func errors() throws -> String {
      let outcome = try Tool.run("resume", "saved", in: folder.url)
      #expect(outcome.status != 0 && outcome.output.isEmpty)
      return outcome.errors
    }
    let none = "lamina resume: saved: no training with '--checkpoints' began in this folder\n"
    #expect(try errors() == none)
    try FileManager.default.createDirectory(
      atPath: folder.path("saved"), withIntermediateDirectories: false)
    #expect(try errors() == none)
    func command(_ text: String) throws { _ = try folder.file("saved/COMMAND", Array(text.utf8)) }
    try command("{")
    #expect(try errors().hasPrefix("lamina resume: saved/COMMAND"))
    try command("{\"format\": \"lamina.command.9\"}")
    #expect(
      try errors()
        == "lamina resume: saved/COMMAND: expected format 'lamina.command.1', found 'lamina.command.9'\n"
    )
    func words(_ name: String, _ folder: String, _ words: String) -> String {
      "{\"format\": \"lamina.command.1\", \"command\": \"\(name)\", \"words\": \(words), \"folder\": \"\(folder)\"}"
    }
    try command(words("doctor", "/", "[]"))
    #expect(
      try errors()
        == "lamina resume: saved/COMMAND: expected the command train or finetune, found 'doctor'\n")
    try command(words("train", "/nowhere", "[]"))
    #expect(
      try errors()
        == "lamina resume: /nowhere: the folder in which the training began is gone\n")
    try command(words("train", "/", "[1]"))
    #expect(try errors().contains("expected texts, found"))
    try command(words("train", "/", "[\"--what\"]"))
    #expect(try errors().hasPrefix("lamina resume: unknown option '--what'"))
  }
}
