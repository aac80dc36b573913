// What the codes of the field mean, as sentences that help, in Chinese and English.

/** @typedef {"zh" | "en"} Language */

/** @type {Readonly<Record<number, readonly [en: string, zh: string]>>} */
const sentences = Object.freeze({
  1001: ["Connected to the server.", "已连接服务器。"],
  1002: ["Sending has begun.", "推流已开始。"],
  1003: ["The camera is on.", "摄像头已打开。"],
  1004: ["The screen is being shared.", "屏幕共享已开始。"],
  1005: ["The picture's size follows the network.", "画面分辨率已按网络情况调整。"],
  1006: ["The picture's quality follows the network.", "画面码率已按网络情况调整。"],
  1007: ["The first picture was captured.", "已采集到第一帧画面。"],
  1008: ["The encoder has started.", "编码器已启动。"],
  1101: ["Your uplink is too slow: others may see a coarse picture. Move closer to the Wi-Fi or use a cable.", "上行网络较慢，对方看到的画面可能模糊。请靠近路由器或改用网线。"],
  1102: ["The network is gone. Reconnecting; there is nothing you need to do.", "网络已断开，正在自动重连，请稍候。"],
  1103: ["The hardware encoder failed; software has taken over.", "硬件编码失败，已改用软件编码。"],
  1104: ["The encoder was started again.", "视频编码器已重新启动。"],
  2001: ["Connected to the server.", "已连接服务器。"],
  2002: ["The other side's stream is there.", "已连接，开始拉流。"],
  2003: ["The first key frame has come.", "已收到首个关键帧。"],
  2004: ["Playback begins.", "开始播放。"],
  2005: ["Playing.", "播放中。"],
  2006: ["The other side has ended the stream.", "对方已结束推流。"],
  2007: ["Waiting for the other side.", "正在等待对方画面。"],
  2008: ["The decoder has started.", "解码器已启动。"],
  2009: ["The picture's size has changed.", "画面分辨率已变化。"],
  2012: ["A message within the stream.", "收到流内消息。"],
  2101: ["A picture could not be decoded; asking for a fresh one.", "视频解码失败，正在请求新的关键帧。"],
  2102: ["Some sound could not be decoded.", "音频解码失败。"],
  2103: ["The network is gone. Reconnecting; there is nothing you need to do.", "网络已断开，正在自动重连，请稍候。"],
  2104: ["Data arrives unsteadily.", "网络来包不稳定。"],
  2105: ["The picture has stopped: the other side's network or yours is slow.", "播放卡顿：可能是您或对方的网络较慢。"],
  2106: ["The hardware decoder failed; software has taken over.", "硬件解码失败，已改用软件解码。"],
  2107: ["Some pictures were skipped.", "部分画面帧已丢弃。"],
  3001: ["The server's name could not be found. Check the address and your network.", "找不到服务器地址，请检查网址和网络。"],
  3002: ["The server can't be reached. Check your network, then try again.", "无法连接服务器，请检查网络后重试。"],
  3003: ["The server does not answer, or is not the one that the address is for. Ask for a new link.", "服务器没有响应，或链接与服务器不符，请重新获取链接。"],
  3004: ["The server has ended this: the link has expired, was replaced, or the call is over.", "服务器已关闭连接：链接已过期、已被替换，或通话已结束。"],
  3005: ["Sending or receiving failed. Reload the page.", "数据收发失败，请刷新页面。"],
  [-1301]: ["The camera can't be opened. Close other programs that use it, or choose another one.", "无法打开摄像头，请关闭占用它的程序或更换摄像头。"],
  [-1302]: ["The microphone can't be opened. Close other programs that use it, or choose another one.", "无法打开麦克风，请关闭占用它的程序或更换麦克风。"],
  [-1303]: ["The picture can't be encoded on this device. Try a current Chrome or Edge.", "此设备无法进行视频编码，请使用新版 Chrome 或 Edge。"],
  [-1304]: ["Sound can't be encoded on this device. Try a current Chrome or Edge.", "此设备无法进行音频编码，请使用新版 Chrome 或 Edge。"],
  [-1307]: ["The network did not come back. Check it, then call again.", "多次重连失败，请检查网络后重新呼叫。"],
  [-1308]: ["The screen can't be shared.", "无法开始屏幕共享。"],
  [-2301]: ["The other side could not be reached again. Check your network, then call again.", "多次重连失败，请检查网络后重新呼叫。"],
  [-2302]: ["There is no address to play.", "没有可播放的地址。"],
  10001: ["The camera is not allowed. Click the camera symbol in the address bar, allow it, and try again.", "未获得摄像头权限。请点击地址栏中的摄像头图标，选择允许后重试。"],
  10002: ["The microphone is not allowed. Click the microphone symbol in the address bar, allow it, and try again.", "未获得麦克风权限。请点击地址栏中的麦克风图标，选择允许后重试。"],
});

/** Sentences that go with a code where there is more to say. */
const particulars = Object.freeze({
  cameraMissing: ["There is no camera. The call goes on with sound only; plug one in and it is used.", "没有找到摄像头，通话将只有声音；接入后会自动使用。"],
  microphoneMissing: ["There is no microphone. Plug one in and it is used.", "没有找到麦克风，接入后会自动使用。"],
  cameraUnplugged: ["The camera was unplugged. Plug it in again, or choose another one.", "摄像头已断开，请重新接入或选择其他摄像头。"],
  microphoneUnplugged: ["The microphone was unplugged. Plug it in again, or choose another one.", "麦克风已断开，请重新接入或选择其他麦克风。"],
  insecure: ["Camera and microphone work on secure pages only: open this page by https, or on this machine by localhost.", "摄像头和麦克风只能在安全页面中使用：请通过 https 或本机 localhost 打开本页。"],
  unsupported: ["This browser can't make calls. Chrome, Edge and Opera from version 94 on can, Safari from 16.4 and Firefox from 130 as far as they have WebCodecs.", "此浏览器不支持通话。请使用 Chrome、Edge 或 Opera 94 以上版本；Safari 16.4、Firefox 130 起在支持 WebCodecs 时可用。"],
  soundBlocked: ["The browser holds the sound back: click or tap anywhere on the page.", "浏览器暂时屏蔽了声音，请点击页面任意位置。"],
});

/** The language of the page or, where it says none, of the browser. @returns {Language} */
export function language() {
  const lang = (typeof document !== "undefined" && document.documentElement.lang) || navigator.language || "en";
  return lang.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/**
 * What a code means.
 * @param {number} code
 * @param {Language} [lang] default: the page's
 */
export function codeText(code, lang = language()) {
  const s = sentences[code];
  return s ? s[lang === "zh" ? 1 : 0] : String(code);
}

/**
 * A sentence that goes with a code.
 * @param {keyof typeof particulars} what
 * @param {Language} [lang]
 */
export function particular(what, lang = language()) {
  return particulars[what][lang === "zh" ? 1 : 0];
}

/** Names of code groups that programs ask for. */
export const Code = Object.freeze({
  pushConnected: 1001, pushBegins: 1002, cameraOpened: 1003, screenStarted: 1004, pushReconnecting: 1102, pushGaveUp: -1307,
  cameraFailed: -1301, microphoneFailed: -1302, screenFailed: -1308,
  playConnected: 2001, playing: 2004, ended: 2006, message: 2012, playReconnecting: 2103, playGaveUp: -2301, noAddress: -2302,
  connectionFailed: 3002, videoEncoding: -1303, cameraDenied: 10001, microphoneDenied: 10002,
});
