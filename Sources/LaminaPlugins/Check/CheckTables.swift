import CLamina
import LaminaCore

// What must hold of the entry, of the tables, and of making layers.

private func enter(_ entry: Plugin.Entry, _ host: UnsafePointer<lamina_host>) throws
  -> UnsafePointer<lamina_plugin>
{
  var error = lamina_error()
  error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
  guard let table = entry(host, &error) else {
    throw LaminaError(.format, error.text ?? "lamina_plugin_entry returned NULL and gave no reason")
  }
  return table
}

@Sendable func entryTwice(_ file: PluginFile) throws {
  let entry = try Plugin.entry(of: file)
  let first = try enter(entry, makeHostTable(log: PluginLog()))
  guard try enter(entry, makeHostTable(log: PluginLog())) == first else {
    throw LaminaError(.format, "lamina_plugin_entry returns another table when it is called again")
  }
}

@Sendable func entryNewerHost(_ file: PluginFile) throws {
  let host = UnsafeMutablePointer(mutating: makeHostTable(log: PluginLog()))
  host.pointee.abi_minor += 9
  host.pointee.struct_size += 64
  do {
    _ = try enter(Plugin.entry(of: file), host)
  } catch let error as LaminaError {
    throw LaminaError(
      error.code,
      "expected a host of interface \(host.pointee.abi_major).\(host.pointee.abi_minor) to do, "
        + "found: \(error.message)")
  }
}

@Sendable func entryOnThreads(_ file: PluginFile) throws {
  let entry = try Plugin.entry(of: file)
  let first = UInt(bitPattern: try enter(entry, makeHostTable(log: PluginLog())))
  try concurrently(4) { _ in
    guard UInt(bitPattern: try enter(entry, makeHostTable(log: PluginLog()))) == first else {
      throw LaminaError(.format, "lamina_plugin_entry returns another table on another thread")
    }
  }
}

@Sendable func entryLeavesProcess(_ file: PluginFile) throws {
  let state = ProcessState(countsThreads: true)
  _ = try enter(Plugin.entry(of: file), makeHostTable(log: PluginLog()))
  try state.expectSame(after: "loading the plugin")
}

// MARK: - Tables

@Sendable func tableIsConsistent(_ subject: CheckSubject) throws {
  let (layerClass, table) = (subject.layerClass, subject.layerClass.table)
  guard table.reserved == 0 else {
    throw LaminaError(.format, "expected reserved to be 0, found \(table.reserved)")
  }
  let known =
    LAMINA_LAYER_READS_INPUTS | LAMINA_LAYER_READS_OUTPUTS | LAMINA_LAYER_IN_PLACE
    | LAMINA_LAYER_BATCHWISE | LAMINA_LAYER_RANDOM
  let size = MemoryLayout<lamina_layer_class>.size
  guard Int(table.flags) & ~known == 0 || table.struct_size > size else {
    throw LaminaError(
      .format, "expected flags of lamina_plugin.h, found 0x\(String(table.flags, radix: 16))")
  }
  guard
    table.backward != nil
      || !layerClass.has(LAMINA_LAYER_READS_INPUTS) && !layerClass.has(LAMINA_LAYER_READS_OUTPUTS)
  else { throw LaminaError(.format, "the flags say what backward reads, and there is no backward") }
  guard !layerClass.has(LAMINA_LAYER_IN_PLACE) || table.maximum_inputs > 0 else {
    throw LaminaError(.format, "the flags say that it works in place, and it has no input")
  }
}

@Sendable func attributeNames(_ subject: CheckSubject) throws {
  guard let names = subject.layerClass.attributeNames else {
    throw DoesNotApply("attribute_names is NULL")
  }
  for (index, name) in names.enumerated() {
    guard name.utf8.allSatisfy({ (UInt8(ascii: "!")...UInt8(ascii: "~")).contains($0) }) else {
      throw LaminaError(
        .format,
        "expected attribute names of ASCII without spaces, found '\(name.escapedForDisplay())'")
    }
    guard !names[..<index].contains(name) else {
      throw LaminaError(.format, "two attributes are '\(name)'")
    }
  }
}

@Sendable func extensionUnknown(_ subject: CheckSubject) throws {
  guard let function = subject.layerClass.table.get_extension else {
    throw DoesNotApply("there is no get_extension")
  }
  let long = String(repeating: "x", count: 10_000)
  for id in ["com.nobody.nothing/1", "lamina.nothing/9", "", long] {
    guard function(subject.layerClass.pointer, id) == nil else {
      throw LaminaError(
        .format, "expected get_extension of '\(id.escapedForDisplay(limit: 32))' to be NULL")
    }
  }
}

// MARK: - Making layers

@Sendable func createWorks(_ subject: CheckSubject) throws {
  do {
    _ = try subject.make()
  } catch let error as LaminaError {
    throw LaminaError(
      error.code,
      "expected a layer of the attributes \(subject.check.attributes.json.text()), found: "
        + "\(error.message); --attributes gives others")
  }
}

@Sendable func createUnknownAttribute(_ subject: CheckSubject) throws {
  _ = try subject.layer()
  var attributes = subject.check.attributes
  attributes["qqqqqqqqqqqqqqqqqqqqqqqq"] = 1
  guard try subject.refusal({ _ = try subject.make(attributes) }) != nil else {
    throw LaminaError(.format, "expected an unknown attribute to be refused, found a layer")
  }
}

extension CheckSubject {
  /// The names of attributes to try.
  fileprivate func namesToTry() throws -> [String] {
    _ = try layer()
    let listed = layerClass.attributeNames ?? []
    let names = listed + check.attributes.names.filter { !listed.contains($0) }
    guard !names.isEmpty else { throw DoesNotApply("there are no attributes") }
    return names
  }

  /// The attributes of the check with another value for one.
  fileprivate func attributes(_ name: String, _ value: AttributeValue) -> Attributes {
    var attributes = check.attributes
    attributes[name] = value
    return attributes
  }
}

/// A value of each type.
private let typedValues: [AttributeValue] = [
  .int(1), .float(0.5), .bool(true), .string("qqqq"), .ints([1, 2]), .floats([0.5, 0.25]),
  .ints([]),
]

@Sendable func createWrongTypes(_ subject: CheckSubject) throws {
  for name in try subject.namesToTry() {
    let refusals = try typedValues.compactMap { value in
      try subject.refusal { _ = try subject.make(subject.attributes(name, value)) }
    }
    guard !refusals.isEmpty else {
      throw LaminaError(
        .format,
        "expected attribute '\(name)' to be of one type, found that numbers, texts and lists all do"
      )
    }
  }
}

@Sendable func createExtremes(_ subject: CheckSubject) throws {
  let values: [AttributeValue] = [
    .int(.max), .int(.min), .int(0), .int(-1), .int(1 << 31), .float(1e308), .float(.nan),
    .float(-.infinity), .string(""), .string(String(repeating: "q", count: 65_000)),
    .ints([Int](repeating: .max, count: 10_000)), .ints([.min]), .ints([0, 0]), .ints([-1, -1]),
    .floats([Double](repeating: .nan, count: 1000)),
  ]
  let trial = try? subject.trial()
  for name in try subject.namesToTry() {
    for value in values {
      try subject.refusal {
        let layer = try subject.make(subject.attributes(name, value))
        guard let inputs = trial?.inputs else { return }
        _ = try? layer.outputs(for: inputs)
        _ = try? layer.parameters(for: inputs)
      }
    }
  }
}

@Sendable func createFailure(_ subject: CheckSubject) throws {
  let refused = try subject.namesToTry().flatMap { name in
    try typedValues.map { subject.attributes(name, $0) }.filter { attributes in
      try subject.refusal { _ = try subject.make(attributes) } != nil
    }
  }
  guard let attributes = refused.first else { throw DoesNotApply("no attributes are refused") }
  try expectNoGrowth("create that fails") { _ = try? subject.make(attributes) }
  _ = try subject.make()
}

@Sendable func createAlike(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  let other = try Trial(try subject.layer(), trial.inputs, seed: subject.check.seed)
  guard other.outputs == trial.outputs else {
    throw LaminaError(.format, "two layers of the same attributes infer different shapes")
  }
  try trial.forward().expectSame(
    as: other.forward(), "expected two layers of the same attributes to be alike")
}

@Sendable func createMany(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  var layers: [PluginLayer] = []
  for _ in 0..<1000 { layers.append(try subject.make()) }
  let expected = try trial.forward()
  for index in [999, 0, 500] {
    var other = trial
    other.layer = layers[index]
    try other.forward().expectSame(as: expected, "expected 1000 layers at once to be alike")
  }
  layers.removeAll()
  try trial.forward().expectSame(as: expected, "expected the same after 1000 layers were freed")
}

@Sendable func createOnThreads(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  try concurrently(4) { _ in
    for _ in 0..<200 {
      guard try subject.make().outputs(for: trial.inputs) == trial.outputs else {
        throw LaminaError(.format, "a layer made on another thread infers other shapes")
      }
    }
  }
}

@Sendable func createMemory(_ subject: CheckSubject) throws {
  _ = try subject.layer()
  try expectNoGrowth("create and destroy") { _ = try subject.make() }
}

@Sendable func outputsCount(_ subject: CheckSubject) throws {
  let layer = try subject.layer()
  for _ in 0..<3 {
    let other = try subject.make()
    guard other.outputCount == layer.outputCount else {
      throw LaminaError(
        .format, "count_outputs is \(layer.outputCount), and \(other.outputCount) when asked again")
    }
  }
}
