// Names and numbers of codecs, and the configurations that go with a stream.

/** Numbers of the codecs in the records of the core (package rtmpchunk). */
export const Codec = Object.freeze({AVC: 2, AV1: 5, VP8: 6, VP9: 7, AAC: 11, Opus: 13});

/** The video codecs that a pusher may use, as its attribute `video-codec` names them, and what WebCodecs calls them. */
export const videoCodecs = Object.freeze({
  h264: {codec: Codec.AVC, name: "avc1.42E01F"},
  vp8: {codec: Codec.VP8, name: "vp8"},
  vp9: {codec: Codec.VP9, name: "vp09.00.31.08"},
  av1: {codec: Codec.AV1, name: "av01.0.05M.08"},
});

/** The order in which they are tried: what every player can show first. */
export const videoOrder = Object.freeze(/** @type {const} */ (["h264", "vp8", "vp9", "av1"]));

/** @typedef {keyof typeof videoCodecs} VideoCodecName */

/**
 * The configuration of a video encoder.
 * @param {VideoCodecName} codec
 * @param {number} width
 * @param {number} height
 * @param {number} framerate
 * @param {number} bitrate in bit/s
 * @returns {VideoEncoderConfig}
 */
export function encoderConfig(codec, width, height, framerate, bitrate) {
  /** @type {VideoEncoderConfig} */
  const c = {codec: videoCodecs[codec].name, width, height, framerate, bitrate, latencyMode: "realtime"};
  if (codec === "h264") c.avc = {format: "avc"};
  // VP8 in variable mode keeps its bitrate when it is told another one.
  c.bitrateMode = codec === "vp8" ? "constant" : "variable";
  if (codec === "h264" && width * height > 921600) c.codec = "avc1.42E028"; // level 3.1 ends at 720p
  return c;
}

/**
 * The first of the codecs wanted that this browser can encode.
 * @param {readonly VideoCodecName[]} wanted
 * @returns {Promise<VideoCodecName | null>}
 */
export async function pickVideoCodec(wanted) {
  if (typeof VideoEncoder === "undefined") return null;
  for (const name of wanted) {
    try {
      const {supported} = await VideoEncoder.isConfigSupported(encoderConfig(name, 640, 360, 30, 500_000));
      if (supported) return name;
    } catch {
      // A configuration that it does not even understand.
    }
  }
  return null;
}

/**
 * The decoder configuration record that RTMP has for an encoder's output, where one is needed.
 * @param {VideoCodecName} codec
 * @param {VideoDecoderConfig} config what the encoder said
 * @returns {Uint8Array | null} null: the codec does without
 */
export function configRecord(codec, config) {
  if (config.description) return bytesOf(config.description);
  const part = config.codec.split(".");
  switch (codec) {
    case "vp9": { // VPCodecConfigurationRecord: profile, level, depth and subsampling, colours unspecified, no initialisation data
      const [profile, level, depth] = [Number(part[1] ?? 0), Number(part[2] ?? 31), Number(part[3] ?? 8)];
      return Uint8Array.of(1, 0, 0, 0, profile, level, (depth << 4) | (1 << 1), 1, 1, 1, 0, 0);
    }
    case "av1": { // AV1CodecConfigurationRecord without OBUs
      const [profile, level] = [Number(part[1] ?? 0), parseInt(part[2] ?? "05M", 10)];
      return Uint8Array.of(0x81, (profile << 5) | level, 0x0c, 0);
    }
    default:
      return null;
  }
}

/**
 * The decoder configuration for a stream's codec and its configuration record.
 * @param {number} codec
 * @param {Uint8Array | null} record
 * @returns {VideoDecoderConfig | null} null: more is needed
 */
export function decoderConfig(codec, record) {
  switch (codec) {
    case Codec.AVC: {
      if (!record || record.length < 7) return null;
      const hex = Array.from(record.subarray(1, 4), (b) => b.toString(16).padStart(2, "0")).join("");
      return {codec: "avc1." + hex, description: record, optimizeForLatency: true};
    }
    case Codec.VP8:
      return {codec: "vp8", optimizeForLatency: true};
    case Codec.VP9: {
      if (!record || record.length < 7) return {codec: "vp09.00.31.08", optimizeForLatency: true};
      const [profile, level, depth] = [record[4], record[5], record[6] >> 4];
      return {codec: `vp09.${two(profile)}.${two(level)}.${two(depth)}`, optimizeForLatency: true};
    }
    case Codec.AV1: {
      if (!record || record.length < 4) return {codec: "av01.0.05M.08", optimizeForLatency: true};
      const depth = record[2] & 0x40 ? 10 : 8;
      return {codec: `av01.${record[1] >> 5}.${two(record[1] & 31)}M.${two(depth)}`, optimizeForLatency: true};
    }
    default:
      return null;
  }
}

/**
 * The decoder configuration of a stream's sound.
 * @param {number} codec
 * @param {Uint8Array | null} record
 * @returns {AudioDecoderConfig | null} null: more is needed, or the codec is none of ours
 */
export function audioDecoderConfig(codec, record) {
  if (codec === Codec.Opus) {
    const channels = record && record.length >= 19 ? record[9] : 1;
    return {codec: "opus", sampleRate: 48000, numberOfChannels: channels};
  }
  if (codec === Codec.AAC && record && record.length >= 2) { // AudioSpecificConfig: object type 5 bits, rate 4, channels 4
    const rates = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
    const type = record[0] >> 3, index = ((record[0] & 7) << 1) | (record[1] >> 7), channels = (record[1] >> 3) & 15;
    if (index >= rates.length) return null;
    return {codec: "mp4a.40." + type, sampleRate: rates[index], numberOfChannels: channels || 2, description: record};
  }
  return null;
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/**
 * The bytes of a buffer of any kind, not copied.
 * @param {AllowSharedBufferSource} b
 * @returns {Uint8Array}
 */
export function bytesOf(b) {
  return ArrayBuffer.isView(b) ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b);
}
