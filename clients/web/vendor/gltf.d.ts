export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
export { clone as cloneSkinned } from "three/examples/jsm/utils/SkeletonUtils.js";
