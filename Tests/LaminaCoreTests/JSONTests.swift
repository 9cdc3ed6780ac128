import Lamina
import LaminaTestSupport
import Testing

struct JSONTests {
  @Test(arguments: [
    ("", "expected a value, found the end of the text", 0),
    ("  \n", "expected a value, found the end of the text", 3),
    ("\u{FEFF}{}", "expected a value, found byte 239", 0),
    ("[1", "expected ',' or ']', found the end of the text", 2),
    ("[1,]", "expected a value, found ']'", 3),
    ("[1 2]", "expected ',' or ']', found '2'", 3),
    ("{\"a\"", "expected ':', found the end of the text", 4),
    ("{\"a\":1,}", "expected a key, found '}'", 7),
    ("{a:1}", "expected a key, found 'a'", 1),
    ("{\"a\":1 \"b\":2}", "expected ',' or '}', found '\"'", 7),
    ("{\"a\":1,\"a\":2}", "duplicate key 'a'", 7),
    ("{\"a\":1,\"\\u0061\":2}", "duplicate key 'a'", 7),
    ("1 2", "expected the end of the text, found '2'", 2),
    ("{} // note", "expected the end of the text, found '/'", 3),
    ("[}", "expected a value, found '}'", 1),
    ("01", "a number has a leading zero", 0),
    ("+1", "expected a value, found '+'", 0),
    (".5", "expected a value, found '.'", 0),
    ("1.", "expected a digit, found the end of the text", 2),
    ("1e", "expected a digit, found the end of the text", 2),
    ("-", "expected a digit, found the end of the text", 1),
    ("1e999", "a number is out of range", 0),
    ("NaN", "expected a value, found 'N'", 0),
    ("Infinity", "expected a value, found 'I'", 0),
    ("tru", "expected a value, found 't'", 0),
    ("nulll", "expected the end of the text, found 'l'", 4),
    ("\"a", "a string has no end", 0),
    ("\"a\nb\"", "a string holds an unescaped control character", 2),
    ("\"\\x\"", "unknown escape", 1),
    ("\"\\", "an escape has no end", 1),
    ("\"\\u12\"", "expected four hexadecimal digits", 5),
    ("\"\\uD800\"", "a lone surrogate", 1),
    ("\"\\uDC00\"", "a lone surrogate", 1),
    ("\"\\uD800\\u0041\"", "a lone surrogate", 1),
  ])
  func refuses(_ text: String, _ message: String, _ offset: Int) {
    expectError(.format, message, path: "t @ \(offset)") { try JSON.parse(text: text, path: "t") }
  }

  @Test func refusesOtherEncodings() {
    expectError(.format, "a string is not UTF-8", path: "t @ 0") {
      try JSON.parse([0x22, 0xC3, 0x28, 0x22] as [UInt8], path: "t")
    }
    expectError(.format, "expected a value, found byte 255", path: "t @ 0") {
      try JSON.parse([0xFF, 0xFE, 0x7B, 0x00] as [UInt8], path: "t")
    }
  }

  @Test func readsNumbers() throws {
    #expect(try JSON.parse(text: "-0") == .int(0))
    #expect(try JSON.parse(text: "9223372036854775807") == .int(.max))
    #expect(try JSON.parse(text: "-9223372036854775808") == .int(.min))
    #expect(try JSON.parse(text: "9223372036854775808") == .double(0x1p63))
    #expect(try JSON.parse(text: "1e-400") == .double(0))
    #expect(try JSON.parse(text: "1E+2") == .double(100))
    #expect(try JSON.parse(text: "1.0") == .double(1))
    let digits = String(repeating: "7", count: 1025)
    expectError(.format, "a number is too long", path: "t @ 0") {
      try JSON.parse(text: digits, path: "t")
    }
  }

  @Test func readsStrings() throws {
    #expect(
      try JSON.parse(text: #""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u0000""#)
        == .string("\"\\/\u{8}\u{C}\n\r\té😀\0"))
    #expect(try JSON.parse(text: " [ { } , [ ] ] ") == .array([.object([]), .array([])]))
  }

  @Test(arguments: ["[", "{\"a\":"])
  func boundsDepth(_ open: String) throws {
    let close = open == "[" ? "]" : "}"
    func nested(_ depth: Int) -> String {
      String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
    }
    _ = try JSON.parse(text: nested(64))
    for depth in [65, 100_000] {
      expectError(
        .limit, "expected at most 64 levels of nesting", path: "t @ \(64 * open.utf8.count)"
      ) {
        try JSON.parse(text: nested(depth), path: "t")
      }
    }
  }

  @Test func boundsLength() {
    var limits = Limits()
    limits.jsonBytes = 10
    expectError(.limit, "expected at most 10 bytes of JSON, found 11", path: "t") {
      try JSON.parse(text: "[1,2,3,4,5]", path: "t", limits: limits)
    }
  }

  @Test func readsLongListsInLinearTime() throws {
    let count = 300_000
    let numbers = "[" + (0..<count).map(String.init).joined(separator: ",") + "]"
    #expect(try JSON.parse(text: numbers).array?.count == count)
    let members = "{" + (0..<count).map { "\"\($0)\":0" }.joined(separator: ",") + "}"
    #expect(try JSON.parse(text: members).members?.count == count)
  }

  @Test func writesWhatItReads() throws {
    let value: JSON = .object([
      "a": .array([.int(1), .double(0.1), .double(1), .null, .bool(true)]),
      "b\n\u{1}\"": .string("\\ é 😀"), "c": .object([]), "d": .array([.array([.int(.min)])]),
    ])
    for pretty in [false, true] {
      #expect(try JSON.parse(text: value.text(pretty: pretty)) == value)
    }
    #expect(value.text().hasPrefix(#"{"a":[1,0.1,1.0,null,true],"b\n\u0001\"":"\\ é 😀","c":{}"#))
  }
}
