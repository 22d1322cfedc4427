-- A Ck dissector for tshark, for the comparison of speeds only: the header, the message's name and the
-- identifiers that `ckscope flows` ties procedures by. It pairs nothing.
local ck = Proto("ck", "Ck interface (ITU-T Q.4164)")

local names = {
  [0x1401] = "Key relay next hop request", [0x4102] = "Response to key relay next hop request",
  [0x1403] = "Key relay request notification", [0x4104] = "Key relay request",
  [0x1405] = "Response to key relay request", [0x1406] = "Session creation request",
  [0x4107] = "Response to session creation request", [0x4108] = "Session creation notification",
  [0x1409] = "Response to session creation notification", [0x410A] = "Key reservation request",
  [0x140B] = "Response to key reservation request", [0x410C] = "Key allocation request",
  [0x140D] = "Response to key allocation request",
}

local f = ck.fields
f.version = ProtoField.uint16("ck.version", "Version")
f.message_id = ProtoField.uint32("ck.message_id", "MessageID")
f.code = ProtoField.uint16("ck.command_code", "CommandCode", base.HEX)
f.message = ProtoField.string("ck.message", "Message")
f.length = ProtoField.uint16("ck.length", "Length")

local parameters = {
  ["Source KMA ID"] = ProtoField.string("ck.source_kma_id", "Source KMA ID"),
  ["Destination KMA ID"] = ProtoField.string("ck.destination_kma_id", "Destination KMA ID"),
  ["Application source ID"] = ProtoField.string("ck.application_source_id", "Application source ID"),
  ["Application destination ID"] = ProtoField.string("ck.application_destination_id", "Application destination ID"),
  ["Session ID"] = ProtoField.string("ck.session_id", "Session ID"),
  ["Key relay request ID"] = ProtoField.string("ck.key_relay_request_id", "Key relay request ID"),
  ["Response"] = ProtoField.string("ck.response", "Response"),
}
for name, field in pairs(parameters) do f[name] = field end

local function length_of(buffer, _, offset) return buffer(offset + 8, 2):uint() + 10 end

local function dissect_pdu(buffer, pinfo, tree)
  local code = buffer(6, 2):uint()
  local sub = tree:add(ck, buffer())
  sub:add(f.version, buffer(0, 2))
  sub:add(f.message_id, buffer(2, 4))
  sub:add(f.code, buffer(6, 2))
  sub:add(f.message, names[code] or "Unknown")
  sub:add(f.length, buffer(8, 2))
  local payload = buffer(10):string()
  for name, value in payload:gmatch('"([^"]+)":%s*"?([^",}]+)') do
    local field = parameters[name]
    if field then sub:add(field, value) end
  end
  pinfo.cols.protocol = "Ck"
  return buffer:len()
end

function ck.dissector(buffer, pinfo, tree)
  dissect_tcp_pdus(buffer, tree, 10, length_of, dissect_pdu)
  return buffer:len()
end

-- The lab's controller listens here; by its content alone tshark would give some client ports to other protocols.
DissectorTable.get("tcp.port"):add(4164, ck)
