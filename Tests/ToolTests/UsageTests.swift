import Foundation
import Lamina
import Testing

private let commands = [
  "bench", "compare", "doctor", "export", "import", "layers", "models", "plugin", "predict",
  "summary",
]

@Test func overviewNamesEveryCommand() throws {
  for words in ["lamina", "lamina --help", "lamina -h"] {
    let outcome = try Tool.shell(words)
    #expect(outcome.status == 0)
    #expect(outcome.errors == "")
    for command in commands { #expect(outcome.output.contains("\n  \(command)  ")) }
  }
}

@Test func versionIsThatOfTheHeader() throws {
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  let header = try String(
    contentsOf: root.appendingPathComponent("include/lamina/lamina.h"), encoding: .utf8)
  let numbers = ["MAJOR", "MINOR", "PATCH"].compactMap { part in
    header.split(separator: "\n").first { $0.hasPrefix("#define LAMINA_VERSION_\(part) ") }?
      .split(separator: " ").last
  }
  #expect(numbers.joined(separator: ".") == laminaVersion)
  #expect(try Tool.run("--version").output == "lamina \(laminaVersion)\n")
}

@Test(arguments: commands) func helpTeachesWithAnExample(command: String) throws {
  let outcome = try Tool.run(command, "--help")
  #expect(outcome.status == 0)
  #expect(outcome.errors == "")
  #expect(outcome.output.hasPrefix("lamina \(command)"))
  #expect(outcome.output.contains("\nExample:\n  $ lamina \(command)"))
  #expect(outcome.output.contains("-h, --help"))
  for line in outcome.output.split(separator: "\n") { #expect(line.count <= 120) }
}

@Test(arguments: [
  ("predct", "lamina: unknown command 'predct', nearest is 'predict'; see 'lamina --help'"),
  ("--jsn", "lamina: unknown command '--jsn'; see 'lamina --help'"),
  (
    "predict m p --tpo 3",
    "lamina predict: unknown option '--tpo', nearest is '--top'; see 'lamina predict --help'"
  ),
  (
    "predict",
    "lamina predict: expected MODEL PICTURE…, found nothing; see 'lamina predict --help'"
  ),
  (
    "predict m",
    "lamina predict: expected MODEL PICTURE…, found only 'm'; see 'lamina predict --help'"
  ),
  (
    "plugin look",
    "lamina plugin: expected list, info, check, new or retry, found 'look'; see 'lamina plugin --help'"
  ),
  (
    "plugin info",
    "lamina plugin: expected info FILE…, found only 'info'; see 'lamina plugin --help'"
  ),
  ("doctor x", "lamina doctor: unexpected operand 'x'; see 'lamina doctor --help'"),
  (
    "bench m --json --json",
    "lamina bench: option '--json' is given twice; see 'lamina bench --help'"
  ),
  ("bench m --json=1", "lamina bench: option '--json' takes no value; see 'lamina bench --help'"),
  ("bench m --runs", "lamina bench: option '--runs N' has no value; see 'lamina bench --help'"),
  (
    "predict m p --threads 0",
    "lamina predict: expected '--threads' in 1...256, found '0'; see 'lamina predict --help'"
  ),
  (
    "predict m p --threads -1",
    "lamina predict: expected '--threads' in 1...256, found '-1'; see 'lamina predict --help'"
  ),
  (
    "predict m p --threads=1e9",
    "lamina predict: expected '--threads' in 1...256, found '1e9'; see 'lamina predict --help'"
  ),
  (
    "predict m p --threads 1000000000",
    "lamina predict: expected '--threads' in 1...256, found '1000000000'; "
      + "see 'lamina predict --help'"
  ),
  (
    "predict m p --top 0",
    "lamina predict: expected '--top' in 1...100000, found '0'; see 'lamina predict --help'"
  ),
  (
    "bench m --batch 0",
    "lamina bench: expected '--batch' in 1...4096, found '0'; see 'lamina bench --help'"
  ),
  (
    "import x.pth",
    "lamina import: option '--output FILE' is missing; see 'lamina import --help'"
  ),
  (
    "summary resnet18 --input 1,3,0,224",
    "lamina summary: expected a shape such as 1,3,224,224, found '1,3,0,224'; "
      + "see 'lamina summary --help'"
  ),
  (
    "summary resnet18 --input 1,4,224,224",
    "lamina summary: input input: expected shape [batch, 3, height, width], "
      + "found [1, 4, 224, 224]; see 'lamina summary --help'"
  ),
  (
    "import weights.pth -o x",
    "lamina import: no model of the catalogue is part of the file's name; "
      + "name one with '--model'; see 'lamina import --help'"
  ),
  (
    "import net.onnx -o x --model resnet18",
    "lamina import: '--model' makes no sense with .onnx, which has a graph; "
      + "see 'lamina import --help'"
  ),
])
func wrongUsageIsOneLine(words: String, message: String) throws {
  let outcome = try Tool.shell("lamina \(words)")
  #expect(outcome.status == 2)
  #expect(outcome.output == "")
  #expect(outcome.errors == message + "\n")
}

@Test func unknownModelsOfTheCatalogueHaveANearestName() throws {
  let outcome = try Tool.run("import", "weights.pth", "-o", "x", "--model", "resnt18")
  #expect(outcome.status == 2)
  #expect(
    outcome.errors.hasPrefix("lamina import: no model named 'resnt18', nearest is 'resnet18'; "))
}

@Test(arguments: ["lamina doctor", "lamina layers", "lamina models --json", "lamina --help"])
func outputThatCannotBeWrittenIsAFailure(line: String) throws {
  let full = try Tool.shell("\(line) > /dev/full")
  #expect(full.status == 1)
  #expect(full.errors.hasSuffix(": standard output: no space left on device\n"))
  let closed = try Tool.shell("\(line) >&-")
  #expect(closed.status == 1)
  #expect(closed.errors.hasSuffix(": standard output: bad file descriptor\n"))
  let reader = try Tool.shell("(\(line); echo $? >&2) | true")
  #expect(["0\n", "1\n"].contains(reader.errors))
}

@Test func interruptionExitsWith130() throws {
  let outcome = try Tool.shell(
    "lamina bench resnet50 --runs 1000000 & process=$!; sleep 2; kill -INT $process; wait $process")
  #expect(outcome.status == 130)
  #expect(outcome.output == "")
}
