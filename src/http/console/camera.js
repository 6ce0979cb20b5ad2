// The webcam.

/** Why there can be no webcam here, in words; nothing where there can. */
export const whyNoCamera = () =>
  navigator.mediaDevices
    ? ""
    : "A browser gives a page the webcam only on localhost or over TLS (https). Choose a photo instead, or open this page that way.";

const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the webcam. Allow it beside the address, or choose a photo.",
  NotFoundError: "There is no webcam on this machine. Choose a photo instead.",
  NotReadableError: "Another program holds the webcam.",
};

/** A stream of the webcam; throws an Error whose message is for the user. */
export async function openCamera() {
  const wishes = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: wishes });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The webcam can't be used: ${error.message}`);
  }
}

export const closeCamera = (stream) => stream.getTracks().forEach((track) => track.stop());
