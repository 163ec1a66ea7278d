export { VRM, VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";
